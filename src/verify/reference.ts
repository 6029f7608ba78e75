// Recorded activations. In: a safetensors file whose `in.*` are inputs and whose `out.*` are outputs. Out: their numbers, in f32
// whatever the file holds.

import { WeightsError } from "../errors.ts";
import { joinPath } from "../io/byte_source.ts";
import { openSafetensors } from "../io/safetensors.ts";
import { describe, readFloats, readInts, type WeightSource } from "../io/weights.ts";
import type { HostTensor } from "../pipelines/generate_options.ts";

/** An open file of recorded activations. */
export class Reference implements Disposable {
  private constructor(private readonly source: WeightSource) {}

  /**
   * Opens a file of a folder.
   *
   * @throws {WeightsError} when it is not there or is broken.
   */
  static async open(folder: string, file = "io.safetensors"): Promise<Reference> {
    return new Reference(await openSafetensors(joinPath(folder, file)));
  }

  /** All names, sorted. */
  names(): string[] {
    return this.source.names();
  }

  /**
   * The names of the outputs, sorted.
   *
   * @throws {WeightsError} when there is none, as then nothing can be verified.
   */
  outputs(): string[] {
    const names = this.names().filter((name) => name.startsWith("out."));
    if (names.length === 0) {
      throw new WeightsError(`Cannot verify by ${this.source.name} as it must hold outputs out.*: it holds none`);
    }
    return names;
  }

  /** Whether a tensor is there. */
  has(name: string): boolean {
    return this.source.has(name);
  }

  /** What the file says of itself. */
  get metadata(): Record<string, string> {
    return this.source.metadata;
  }

  /**
   * A tensor's shape.
   *
   * @param rank How many axes it must have.
   * @throws {WeightsError} when it is missing or has another number of axes.
   */
  shape(name: string, rank?: number): readonly number[] {
    if (!this.has(name)) {
      throw new WeightsError(`Cannot verify by ${this.source.name} as it must hold ${name}: it is missing`);
    }
    const info = this.source.info(name);
    if (rank !== undefined && info.shape.length !== rank) {
      throw new WeightsError(
        `Cannot verify by ${
          describe(info)
        } of ${this.source.name} as it must have ${rank} axes: it has ${info.shape.length}`,
      );
    }
    return info.shape;
  }

  /**
   * A tensor's numbers in f32, and the dtype of those that were stored in halves.
   *
   * @param rank How many axes it must have.
   * @throws {WeightsError} when it is missing or has another number of axes.
   */
  async floats(name: string, rank?: number): Promise<HostTensor & { dtype?: "F16" | "BF16" }> {
    const shape = this.shape(name, rank);
    const data = await readFloats(this.source, name);
    const { dtype } = this.source.info(name);
    return dtype === "F16" || dtype === "BF16" ? { data, shape, dtype } : { data, shape };
  }

  /**
   * A tensor's whole numbers, exactly.
   *
   * @throws {WeightsError} when it is missing or holds floats.
   */
  async ints(name: string): Promise<number[]> {
    this.shape(name);
    return await readInts(this.source, name);
  }

  [Symbol.dispose](): void {
    this.source[Symbol.dispose]();
  }
}
