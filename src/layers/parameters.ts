// The parameters of a model: declared by its layers with names and shapes, checked against a checkpoint as a whole, then streamed
// to the GPU in bounded pieces. In: a WeightSource. Out: tensors in the layout that the kernels read.

import { DeviceError, WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { byteSize, type Tensor } from "../gpu/tensor.ts";
import { NameChecker, readFloats, type WeightSource } from "../io/weights.ts";
import { packWeight } from "../ops/pack_weight.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";

/** Bytes of a checkpoint on their way to the GPU at once. */
const STAGING_BYTES = 32 << 20;
/** Bytes sent before waiting for the GPU, so that the host never runs far ahead of it. */
const IN_FLIGHT_BYTES = 256 << 20;

/** Told after each tensor: bytes of the checkpoint read so far, of all it will read. */
export type LoadProgress = (loaded: number, total: number) => void;

/** How weights are loaded. */
export interface LoadOptions {
  onProgress?: LoadProgress;
  signal?: AbortSignal;
}

const SOURCE_DTYPES = { F32: "f32", F16: "f16", BF16: "bf16" } as const;

/** A parameter that is small and read as it is: a bias, a norm's weight, a table. Kept as f32. */
export class Vector {
  #tensor: Tensor | undefined;

  /** @param names One name, or several that are laid one behind the other. */
  constructor(readonly names: readonly string[], readonly shape: readonly number[]) {}

  /** The tensor on the GPU, one axis when it has several names. */
  get tensor(): Tensor {
    if (!this.#tensor) throw new WeightsError(`Cannot use ${this.names[0]} as it must be loaded first: it is not`);
    return this.#tensor;
  }

  /** Reads it from a checkpoint. */
  async load(device: Device, source: WeightSource): Promise<void> {
    const pieces = [];
    for (const name of this.names) pieces.push(await readFloats(source, name));
    const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let offset = 0;
    for (const piece of pieces) {
      data.set(piece, offset);
      offset += piece.length;
    }
    this.#tensor = device.upload(data, this.names.length > 1 ? [data.length] : this.shape, this.names[0]);
  }

  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = undefined;
  }
}

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
  ): Promise<void> {
    this.#allocate(device);
    const { outFeatures, inFeatures, taps } = this.spec;
    for (const [index, name] of this.names.entries()) {
      const { dtype, byteLength } = source.info(name);
      const rowBytes = byteLength / outFeatures;
      const sourceDType = SOURCE_DTYPES[dtype as keyof typeof SOURCE_DTYPES];
      if (!sourceDType) {
        throw new WeightsError(`Cannot load ${name} of ${source.name} as weights must be floats: ${dtype}`);
      }
      const most = Math.max(4, Math.floor(staging.length / rowBytes / 4) * 4);
      for (const part of this.#parts) {
        // Rows of this name that fall into this part.
        const first = Math.max(0, part.start - index * outFeatures);
        const end = Math.min(outFeatures, part.start + part.columns - index * outFeatures);
        for (let row = first; row < end; row += most) {
          const rows = Math.min(most, end - row);
          const bytes = await source.read(name, row * rowBytes, (row + rows) * rowBytes, staging);
          this.#pack(device, bytes, {
            sourceDType,
            rows,
            inFeatures,
            taps,
            out: part.tensor,
            columnOffset: index * outFeatures + row - part.start,
          });
          await sent(bytes.length);
        }
      }
    }
  }

  #pack(device: Device, bytes: Uint8Array<ArrayBuffer>, options: Parameters<typeof packWeight>[2]): void {
    using raw = device.tensor([Math.ceil(bytes.length / 4)], "u32", "checkpoint bytes");
    // The queue takes whole words.
    const whole = bytes.length % 4 === 0 ? bytes : new Uint8Array(raw.bytes);
    if (whole !== bytes) whole.set(bytes);
    device.write(raw, whole);
    const rec = new Recorder(device);
    packWeight(rec, raw, options);
    rec.submit();
  }

  dispose(): void {
    for (const { tensor } of this.#parts) tensor.dispose();
    this.#parts = [];
  }
}

/** All parameters of one model. */
export class ParameterSet implements Disposable {
  #entries: (Vector | Matrix)[] = [];

  /**
   * @param model The model's class, for messages.
   * @param dtype How matrices are kept on the GPU.
   */
  constructor(readonly device: Device, readonly model: string, readonly dtype: WeightDType) {}

  /** Declares a small parameter; every name has this shape. */
  vector(names: string | readonly string[], shape: readonly number[]): Vector {
    const entry = new Vector(typeof names === "string" ? [names] : names, shape);
    this.#entries.push(entry);
    return entry;
  }

  /** Declares a weight that is multiplied; every name has this shape. */
  matrix(names: string | readonly string[], spec: MatrixSpec): Matrix {
    const entry = new Matrix(typeof names === "string" ? [names] : names, spec, this.dtype);
    this.#entries.push(entry);
    return entry;
  }

  /**
   * Checks every name and shape against a checkpoint, then reads all of them. On failure nothing stays allocated.
   *
   * @param optional Names that the checkpoint may have beside the declared ones.
   * @throws {WeightsError} naming what is missing, left over, or of another shape.
   */
  async load(source: WeightSource, options: LoadOptions & { optional?: readonly string[] } = {}): Promise<void> {
    const checker = new NameChecker(source, this.model);
    let total = 0;
    for (const { names, shape } of this.#shapes()) {
      for (const name of names) if (checker.expect(name, shape)) total += source.info(name).byteLength;
    }
    for (const name of options.optional ?? []) if (checker.has(name)) checker.expect(name);
    checker.finish();
    const staging = new Uint8Array(Math.min(STAGING_BYTES, total));
    let loaded = 0, inFlight = 0;
    const sent = async (bytes: number) => {
      loaded += bytes;
      inFlight += bytes;
      options.onProgress?.(loaded, total);
      if (inFlight < IN_FLIGHT_BYTES) return;
      inFlight = 0;
      await this.device.settle();
    };
    try {
      for (const entry of this.#entries) {
        options.signal?.throwIfAborted();
        if (entry instanceof Matrix) {
          await entry.load(this.device, source, staging, sent);
        } else {
          await entry.load(this.device, source);
          await sent(entry.tensor.bytes);
        }
      }
      await this.device.settle();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  #shapes(): { names: readonly string[]; shape: readonly number[] }[] {
    return this.#entries.map((entry) => ({
      names: entry.names,
      shape: entry instanceof Matrix ? entry.spec.shape : entry.shape,
    }));
  }

  /** Frees every parameter. */
  dispose(): void {
    for (const entry of this.#entries) entry.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
