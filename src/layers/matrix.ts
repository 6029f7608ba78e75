// The weight of a linear layer or a convolution, streamed to the GPU in bounded pieces. In: a WeightSource, and what is changed on
// the way. Out: tensors in the layout that the kernels read.

import { DeviceError, WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { isQuantType } from "../io/gguf_blocks.ts";
import type { StoredDType, WeightSource } from "../io/weights.ts";
import { BLOCK_FORMATS, type BlockFormat, BlockWeight, FORMAT_OF } from "../ops/block_weight.ts";
import type { Weight } from "../ops/matmul.ts";
import { weightBytes } from "../ops/weight_bytes.ts";
import { type FloatDType, isFloatDType, type WeightDType } from "../ops/weight_kernels.ts";
import type { FiniteNotes } from "./finite_notes.ts";
import { goesByFloats, isWeightDType, packRows } from "./pack_rows.ts";

/** What is done to weights on their way from the checkpoint to the GPU. */
export interface WeightEdits {
  /** Whether a weight is changed. */
  has(name: string): boolean;
  /**
   * Records the change of some rows of a weight.
   *
   * @param rows [R, inFeatures * taps] f32 as the checkpoint has them, changed in place.
   * @param first The row of the weight that the first of them is.
   * @param keep Holds a tensor until the work is submitted, then frees it.
   */
  apply(rec: Recorder, name: string, rows: Tensor, first: number, keep: (tensor: Tensor) => Tensor): void;
}

/** Columns `[start, start + columns)` of a matrix, as one weight [K, columns rounded up to 4]. */
export interface MatrixPart {
  start: number;
  columns: number;
  weight: Weight;
}

/** Neighbouring columns that are kept alike. */
interface Run {
  columns: number;
  format: FloatDType | BlockFormat;
}

/** How a matrix lies in the checkpoint. */
export interface MatrixSpec {
  /** Output features of each name; PyTorch's first axis. */
  outFeatures: number;
  inFeatures: number;
  /** Kernel height times width of a convolution; 1 for a linear layer. */
  taps: number;
  /** The shape that each name has in the checkpoint. */
  shape: readonly number[];
}

/** The weight of a linear layer or a convolution, packed as the matmul and convolution kernels want it. */
export class Matrix {
  #parts: MatrixPart[] = [];

  #runs: Run[];

  /**
   * @param names One name, or several whose output features stand side by side.
   * @param asked How it is kept: blocks as the checkpoint has them, and all else as f16, when not given. What does not fit blocks is
   * f16.
   */
  constructor(readonly names: readonly string[], readonly spec: MatrixSpec, private readonly asked?: WeightDType) {
    this.#runs = [{ columns: this.columns, format: this.#formatOf() }];
  }

  get columns(): number {
    return this.spec.outFeatures * this.names.length;
  }

  /** K, what is summed over. */
  get #depth(): number {
    return this.spec.inFeatures * this.spec.taps;
  }

  /** The type of the first columns: all are of it where the checkpoint keeps them alike. */
  get dtype(): WeightDType {
    const [{ format }] = this.#runs;
    return typeof format === "string" ? format : format.dtype;
  }

  /** Bytes that it takes on the GPU. */
  get bytes(): number {
    return this.#runs.reduce((sum, { columns, format }) => sum + weightBytes(this.#depth, columns, format), 0);
  }

  /** Whether it is on the GPU. */
  get isLoaded(): boolean {
    return this.#parts.length > 0;
  }

  /** The packed weight; several parts where one binding could not hold it. */
  get parts(): readonly MatrixPart[] {
    if (this.#parts.length === 0) throw new WeightsError(`Cannot use ${this.names[0]} as it must be loaded first`);
    return this.#parts;
  }

  /** The packed weight where it cannot be split, nor be in blocks. */
  get tensor(): Tensor {
    const [{ weight }, ...more] = this.parts;
    if (more.length > 0 || weight instanceof BlockWeight) {
      throw new DeviceError(`Cannot bind ${this.names[0]} as it must be one tensor: ${this.parts.length} of ${weight}`);
    }
    return weight;
  }

  /** Decides how it is kept, as far as that is left to the checkpoint; not changed once it is loaded. */
  plan(source: WeightSource): void {
    if (this.isLoaded) return;
    const { outFeatures } = this.spec;
    const formats = this.names.map((name) => this.#formatOf(source.info(name).dtype));
    // Parts begin on 64 columns, so that a bias can be bound from there: a binding's offset is a multiple of 256 bytes.
    const canDiffer = outFeatures % 64 === 0 || formats.every((format) => format === formats[0]);
    this.#runs = [];
    for (const format of canDiffer ? formats : formats.map(() => "f16" as const)) {
      const last = this.#runs.at(-1);
      if (last?.format === format) last.columns += outFeatures;
      else this.#runs.push({ columns: outFeatures, format });
    }
  }

  #formatOf(stored?: StoredDType): FloatDType | BlockFormat {
    const { asked, spec: { outFeatures, inFeatures, taps } } = this;
    if (asked && isFloatDType(asked)) return asked;
    const fitsBlocks = taps === 1 && inFeatures % 4 === 0 && (this.names.length === 1 || outFeatures % 4 === 0);
    if (!fitsBlocks) return "f16";
    if (asked) return BLOCK_FORMATS[asked];
    return stored && isQuantType(stored) ? FORMAT_OF[stored] : "f16";
  }

  #allocate(device: Device): void {
    const limit = device.limits.maxStorageBufferBindingSize;
    let start = 0;
    for (const { columns, format } of this.#runs) {
      const end = start + columns;
      const most = Math.max(64, Math.floor(limit / weightBytes(this.#depth, 64, format)) * 64);
      for (; start < end; start += most) {
        const columns = Math.min(most, end - start);
        const shape = [this.#depth, Math.ceil(columns / 4) * 4] as const;
        const weight = typeof format === "string"
          ? device.tensor(shape, format, this.names[0])
          : new BlockWeight(device, shape, format, this.names[0]);
        this.#parts.push({ start, columns, weight });
      }
      start = end;
    }
  }

  /** Streams it from a checkpoint by way of `staging`; `sent` is told the bytes of each piece and may wait. */
  async load(
    device: Device,
    source: WeightSource,
    staging: Uint8Array<ArrayBuffer>,
    sent: (bytes: number) => Promise<void>,
    notes: FiniteNotes,
    edits?: WeightEdits,
  ): Promise<void> {
    if (!this.isLoaded) { // else the same place takes the new numbers
      this.plan(source);
      this.#allocate(device);
    }
    const { outFeatures, inFeatures, taps } = this.spec;
    for (const [index, name] of this.names.entries()) {
      const { dtype, byteLength } = source.info(name);
      if (!isWeightDType(dtype)) {
        throw new WeightsError(`Cannot load ${name} of ${source.name} as weights must be floats: ${dtype}`);
      }
      const rowBytes = byteLength / outFeatures;
      const edit = edits?.has(name) ? edits : undefined;
      for (const part of this.#parts) {
        const widest = edit || goesByFloats(dtype, part.weight) ? Math.max(rowBytes, this.#depth * 4) : rowBytes;
        const most = Math.max(4, Math.floor(staging.length / widest / 4) * 4);
        // Rows of this name that fall into this part.
        const first = Math.max(0, part.start - index * outFeatures);
        const end = Math.min(outFeatures, part.start + part.columns - index * outFeatures);
        for (let row = first; row < end; row += most) {
          const rows = Math.min(most, end - row);
          const bytes = await source.read(name, row * rowBytes, (row + rows) * rowBytes, staging);
          const columnOffset = index * outFeatures + row - part.start;
          const target = { rows, inFeatures, taps, out: part.weight, columnOffset, check: notes.of(name) };
          packRows(
            device,
            bytes,
            dtype,
            target,
            edit && ((rec, floats, keep) => edit.apply(rec, name, floats, row, keep)),
          );
          await sent(bytes.length);
        }
      }
    }
  }

  dispose(): void {
    for (const { weight } of this.#parts) weight.dispose();
    this.#parts = [];
  }
}
