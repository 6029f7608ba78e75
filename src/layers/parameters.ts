// The parameters of a model: declared by its layers with names and shapes, checked against a checkpoint as a whole, then streamed
// to the GPU in bounded pieces. In: a WeightSource. Out: tensors in the layout that the kernels read.

import { WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { describe, NameChecker, readFloats, type WeightSource } from "../io/weights.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { Matrix, type MatrixSpec, type WeightEdits } from "./matrix.ts";

export { Matrix, type MatrixPart, type MatrixSpec, type WeightEdits } from "./matrix.ts";

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
    try {
      await this.#stream(source, this.#entries, total, options);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Every weight that is multiplied. */
  get matrices(): readonly Matrix[] {
    return this.#entries.filter((entry) => entry instanceof Matrix);
  }

  /**
   * Reads some of the weights again, into the place that they have.
   *
   * @param edits What is done to them on the way.
   * @throws {WeightsError} when the checkpoint does not have them as it had.
   */
  async reload(
    source: WeightSource,
    matrices: readonly Matrix[],
    edits: WeightEdits,
    options: LoadOptions = {},
  ): Promise<void> {
    let total = 0;
    for (const { names, spec } of matrices) {
      for (const name of names) {
        const info = source.info(name);
        total += info.byteLength;
        if (info.shape.join() !== spec.shape.join()) {
          throw new WeightsError(
            `Cannot read ${describe(info)} of ${source.name} again as it was [${
              spec.shape.join(", ")
            }]: the file changed`,
          );
        }
      }
    }
    await this.#stream(source, matrices, total, options, edits);
  }

  async #stream(
    source: WeightSource,
    entries: readonly (Vector | Matrix)[],
    total: number,
    options: LoadOptions,
    edits?: WeightEdits,
  ): Promise<void> {
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
    for (const entry of entries) {
      options.signal?.throwIfAborted();
      if (entry instanceof Matrix) {
        await entry.load(this.device, source, staging, sent, edits);
      } else {
        await entry.load(this.device, source);
        await sent(entry.tensor.bytes);
      }
    }
    await this.device.settle();
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
