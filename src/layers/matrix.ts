// The weight of a linear layer or a convolution, streamed to the GPU in bounded pieces. In: a WeightSource, and what is changed on
// the way. Out: tensors in the layout that the kernels read.

import { DeviceError, WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { byteSize, Tensor } from "../gpu/tensor.ts";
import { floatsOf, type StoredDType, type WeightSource } from "../io/weights.ts";
import { packWeight } from "../ops/pack_weight.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { widen } from "../ops/widen.ts";

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

const SOURCE_DTYPES = { F32: "f32", F16: "f16", BF16: "bf16" } as const;

/** Columns `[start, start + columns)` of a matrix, as one tensor [K, columns rounded up to 4]. */
export interface MatrixPart {
  start: number;
  columns: number;
  tensor: Tensor;
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

  /** @param names One name, or several whose output features stand side by side. */
  constructor(readonly names: readonly string[], readonly spec: MatrixSpec, readonly dtype: WeightDType) {}

  get columns(): number {
    return this.spec.outFeatures * this.names.length;
  }

  /** The packed weight; several parts where one binding could not hold it. */
  get parts(): readonly MatrixPart[] {
    if (this.#parts.length === 0) throw new WeightsError(`Cannot use ${this.names[0]} as it must be loaded first`);
    return this.#parts;
  }

  /** The packed weight where it cannot be split. */
  get tensor(): Tensor {
    const [part, ...more] = this.parts;
    if (more.length > 0) {
      throw new DeviceError(`Cannot bind ${this.names[0]} at once as it is split: ${this.parts.length}`);
    }
    return part.tensor;
  }

  #allocate(device: Device): void {
    if (this.#parts.length > 0) return; // loaded before: the same place takes the new numbers
    const rows = this.spec.inFeatures * this.spec.taps;
    const columnBytes = byteSize(rows * 64, this.dtype) / 64;
    // Parts begin on 64 columns, so that a bias can be bound from there: a binding's offset is a multiple of 256 bytes.
    const most = Math.max(64, Math.floor(device.limits.maxStorageBufferBindingSize / columnBytes / 64) * 64);
    for (let start = 0; start < this.columns; start += most) {
      const columns = Math.min(most, this.columns - start);
      const shape = [rows, Math.ceil(columns / 4) * 4];
      this.#parts.push({ start, columns, tensor: device.tensor(shape, this.dtype, this.names[0]) });
    }
  }

  /** Streams it from a checkpoint by way of `staging`; `sent` is told the bytes of each piece and may wait. */
  async load(
    device: Device,
    source: WeightSource,
    staging: Uint8Array<ArrayBuffer>,
    sent: (bytes: number) => Promise<void>,
    edits?: WeightEdits,
  ): Promise<void> {
    this.#allocate(device);
    const { outFeatures, inFeatures, taps } = this.spec;
    for (const [index, name] of this.names.entries()) {
      const { dtype, byteLength } = source.info(name);
      const rowBytes = byteLength / outFeatures;
      const edit = edits?.has(name) ? edits : undefined;
      const sourceDType = edit ? "f32" : SOURCE_DTYPES[dtype as keyof typeof SOURCE_DTYPES];
      if (!sourceDType) {
        throw new WeightsError(`Cannot load ${name} of ${source.name} as weights must be floats: ${dtype}`);
      }
      const widest = edit ? Math.max(rowBytes, inFeatures * taps * 4) : rowBytes;
      const most = Math.max(4, Math.floor(staging.length / widest / 4) * 4);
      for (const part of this.#parts) {
        // Rows of this name that fall into this part.
        const first = Math.max(0, part.start - index * outFeatures);
        const end = Math.min(outFeatures, part.start + part.columns - index * outFeatures);
        for (let row = first; row < end; row += most) {
          const rows = Math.min(most, end - row);
          const bytes = await source.read(name, row * rowBytes, (row + rows) * rowBytes, staging);
          const columnOffset = index * outFeatures + row - part.start;
          const target = { sourceDType, rows, inFeatures, taps, out: part.tensor, columnOffset };
          if (edit) {
            packEdited(device, bytes, dtype, target, (rec, floats, keep) => edit.apply(rec, name, floats, row, keep));
          } else pack(device, bytes, target);
          await sent(bytes.length);
        }
      }
    }
  }

  dispose(): void {
    for (const { tensor } of this.#parts) tensor.dispose();
    this.#parts = [];
  }
}

type PackTarget = Parameters<typeof packWeight>[2];

/** Bytes of a checkpoint as words on the GPU; the queue takes whole ones. */
function uploadWords(device: Device, bytes: Uint8Array<ArrayBuffer>): Tensor {
  const words = device.tensor([Math.ceil(bytes.length / 4)], "u32", "checkpoint bytes");
  const whole = bytes.length % 4 === 0 ? bytes : new Uint8Array(words.bytes);
  if (whole !== bytes) whole.set(bytes);
  device.write(words, whole);
  return words;
}

function pack(device: Device, bytes: Uint8Array<ArrayBuffer>, target: PackTarget): void {
  using raw = uploadWords(device, bytes);
  const rec = new Recorder(device);
  packWeight(rec, raw, target);
  rec.submit();
}

/** Packs rows with a change made to them in f32; halves widen on the GPU, blocks on the host. */
function packEdited(
  device: Device,
  bytes: Uint8Array<ArrayBuffer>,
  dtype: StoredDType,
  target: PackTarget,
  edit: (rec: Recorder, rows: Tensor, keep: (tensor: Tensor) => Tensor) => void,
): void {
  const kept: Tensor[] = [];
  const keep = (tensor: Tensor) => {
    kept.push(tensor);
    return tensor;
  };
  const shape = [target.rows, target.inFeatures * (target.taps ?? 1)];
  const half = ({ F16: "f16", BF16: "bf16" } as const)[dtype as string];
  try {
    const rec = new Recorder(device);
    const rows = half
      ? widen(rec, keep(uploadWords(device, bytes)), half, keep(device.tensor(shape, "f32", "checkpoint rows")))
      : keep(device.upload(floatsOf(dtype, bytes), shape, "checkpoint rows"));
    edit(rec, rows, keep);
    packWeight(rec, new Tensor(rows.storage, [rows.size], "u32"), target);
    rec.submit();
  } finally {
    for (const tensor of kept) tensor.dispose();
  }
}
