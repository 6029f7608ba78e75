// The parameters of a model: declared by its layers with names and shapes, checked against a checkpoint as a whole, then streamed
// to the GPU in bounded pieces. In: a WeightSource. Out: tensors in the layout that the kernels read.

import { WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { unreadWeights } from "../io/unread_weights.ts";
import { describe, NameChecker, readFloats, type WeightSource } from "../io/weights.ts";
import { floatDType, type WeightDType } from "../ops/weight_kernels.ts";
import { FiniteNotes } from "./finite_notes.ts";
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
  /** Told in a sentence when weights are not finite numbers; the model is loaded all the same. */
  onWarning?: (text: string) => void;
  signal?: AbortSignal;
}

/** A parameter that is small and read as it is: a bias, a norm's weight, a table. Kept as f32. */
export class Vector {
  #tensor: Tensor | undefined;

  /** @param names One name, or several that are laid one behind the other. */
  constructor(readonly names: readonly string[], readonly shape: readonly number[]) {}

  /** Whether it is on the GPU. */
  get isLoaded(): boolean {
    return this.#tensor !== undefined;
  }

  /** Bytes that it takes on the GPU. */
  get bytes(): number {
    return this.names.length * this.shape.reduce((product, extent) => product * extent, 4);
  }

  /** The tensor on the GPU, one axis when it has several names. */
  get tensor(): Tensor {
    if (!this.#tensor) throw new WeightsError(`Cannot use ${this.names[0]} as it must be loaded first: it is not`);
    return this.#tensor;
  }

  /** Reads it from a checkpoint. */
  async load(device: Device, source: WeightSource, notes: FiniteNotes): Promise<void> {
    const pieces = [];
    for (const name of this.names) {
      const piece = await readFloats(source, name);
      notes.look(name, piece);
      pieces.push(piece);
    }
    const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let offset = 0;
    for (const piece of pieces) {
      data.set(piece, offset);
      offset += piece.length;
    }
    this.dispose();
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
  #whole: ParameterSet | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param model The model's class, for messages.
   * @param asked How matrices are kept on the GPU: blocks as the checkpoint has them, and all else as f16, when not given.
   * @param inBlocks Matrices whose names begin like this may be kept in blocks of small integers; the others are f16 then.
   */
  constructor(
    readonly device: Device,
    readonly model: string,
    private readonly asked?: WeightDType,
    private readonly inBlocks?: string,
  ) {}

  /** How the matrices are kept, most bytes of them where the checkpoint decides. */
  get dtype(): WeightDType {
    if (this.asked) return this.asked;
    const bytes = new Map<WeightDType, number>([["f16", 0]]);
    for (const matrix of this.matrices) bytes.set(matrix.dtype, (bytes.get(matrix.dtype) ?? 0) + matrix.bytes);
    return [...bytes].reduce((most, one) => one[1] > most[1] ? one : most)[0];
  }

  /** Declares a small parameter; every name has this shape. */
  vector(names: string | readonly string[], shape: readonly number[]): Vector {
    const entry = new Vector(typeof names === "string" ? [names] : names, shape);
    this.#declare(entry);
    return entry;
  }

  /** Declares a weight that is multiplied; every name has this shape. */
  matrix(names: string | readonly string[], spec: MatrixSpec): Matrix {
    const list = typeof names === "string" ? [names] : names;
    const mayBeInBlocks = this.inBlocks !== undefined && list.every((name) => name.startsWith(this.inBlocks!));
    const entry = new Matrix(list, spec, mayBeInBlocks ? this.asked : floatDType(this.asked));
    this.#declare(entry);
    return entry;
  }

  /** A part that can be read and unloaded alone; what is declared on it belongs to the whole, too. */
  part(): ParameterSet {
    const part = new ParameterSet(this.device, this.model, this.asked, this.inBlocks);
    part.#whole = this;
    return part;
  }

  #declare(entry: Vector | Matrix): void {
    this.#entries.push(entry);
    if (this.#whole) this.#whole.#declare(entry);
  }

  /** Whether all of them are on the GPU. */
  get isLoaded(): boolean {
    return this.#entries.every((entry) => entry.isLoaded);
  }

  /** Bytes that they take on the GPU. */
  get bytes(): number {
    return this.#entries.reduce((sum, entry) => sum + entry.bytes, 0);
  }

  /** Bytes that they take in a checkpoint. */
  storedBytes(source: WeightSource): number {
    return this.#storedSizes(source).reduce((sum, size) => sum + size, 0);
  }

  /** Bytes on the GPU that loading takes beside them: a piece of the checkpoint at a time. */
  stagingBytes(source: WeightSource): number {
    return Math.min(STAGING_BYTES, Math.max(0, ...this.#storedSizes(source)));
  }

  #storedSizes(source: WeightSource): number[] {
    return this.#entries.flatMap((entry) => entry.names).map((name) => source.info(name).byteLength);
  }

  /** Does work that changes what is on the GPU, one after another in the order of the calls. */
  inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /**
   * Checks every name and shape against a checkpoint.
   *
   * @param optional Names that the checkpoint may have beside the declared ones.
   * @throws {WeightsError} naming what is missing, left over, or of another shape.
   */
  check(source: WeightSource, optional: readonly string[] = []): void {
    const checker = new NameChecker(source, this.model);
    for (const { names, shape } of this.#shapes()) {
      for (const name of names) checker.expect(name, shape);
    }
    for (const name of optional) if (checker.has(name)) checker.expect(name);
    checker.finish();
    for (const matrix of this.matrices) matrix.plan(source);
  }

  /**
   * Checks a checkpoint as `check` does, then reads all of them. On failure nothing stays allocated.
   *
   * @param options `optional` names the checkpoint may have beside the declared ones; `edits` are done on the way.
   * @throws {WeightsError} naming what is missing, left over, or of another shape.
   */
  async load(
    source: WeightSource,
    { optional, ...options }: LoadOptions & { optional?: readonly string[]; edits?: WeightEdits } = {},
  ): Promise<void> {
    this.check(source, optional);
    await this.read(source, options);
  }

  /** Reads all of them from a checkpoint that was checked. On failure nothing stays allocated. */
  async read(source: WeightSource, { edits, ...options }: LoadOptions & { edits?: WeightEdits } = {}): Promise<void> {
    try {
      await this.#stream(source, this.#entries, this.storedBytes(source), options, edits);
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
    stored: WeightSource,
    entries: readonly (Vector | Matrix)[],
    total: number,
    options: LoadOptions,
    edits?: WeightEdits,
  ): Promise<void> {
    const source = this.device.rehearsed ? unreadWeights(stored) : stored;
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
    using notes = new FiniteNotes(this.device, entries.flatMap((entry) => entry.names));
    for (const entry of entries) {
      options.signal?.throwIfAborted();
      if (entry instanceof Matrix) {
        await entry.load(this.device, source, staging, sent, notes, edits);
      } else {
        await entry.load(this.device, source, notes);
        await sent(entry.tensor.bytes);
      }
    }
    const warning = await notes.report(source.name);
    if (warning !== undefined) options.onWarning?.(warning);
  }

  #shapes(): { names: readonly string[]; shape: readonly number[] }[] {
    return this.#entries.map((entry) => ({
      names: entry.names,
      shape: entry instanceof Matrix ? entry.spec.shape : entry.shape,
    }));
  }

  /** Frees every parameter; they can be loaded again. */
  dispose(): void {
    for (const entry of this.#entries) entry.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
