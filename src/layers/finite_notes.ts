// Notes, while weights are loaded, which of them hold a NaN or an infinity: for matrices on the GPU, by the kernels that pack them. In:
// names. Out: one sentence, or none.

import type { Device } from "../gpu/device.ts";
import { readAll } from "../gpu/readback.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { FiniteCheck } from "../ops/pack_weight.ts";

/** What is said of tensors that hold what is not a finite number. */
export function notFinite([first, ...more]: readonly string[], file: string): string {
  const others = more.length > 0 ? ` and ${more.length} more` : "";
  return `${first}${others} of ${file} should be finite numbers: there is a NaN, an infinity, or what f16 cannot hold`;
}

/** The notes of one loading. */
export class FiniteNotes implements Disposable {
  readonly #flags: Tensor;
  readonly #index: ReadonlyMap<string, number>;
  readonly #onHost = new Set<string>();

  constructor(private readonly device: Device, private readonly names: readonly string[]) {
    this.#flags = device.tensor([names.length], "u32", "notes of weights that are not finite");
    this.#index = new Map(names.map((name, i) => [name, i]));
  }

  /** Where a kernel notes it for a tensor. */
  of(name: string): FiniteCheck {
    return { flags: this.#flags, index: this.#index.get(name)! };
  }

  /** Notes it for a tensor that is in host memory. */
  look(name: string, numbers: Float32Array): void {
    if (!numbers.every(Number.isFinite)) this.#onHost.add(name);
  }

  /**
   * Waits for the GPU and reads the notes.
   *
   * @param file What was loaded, for the sentence.
   * @returns What is wrong, or nothing.
   */
  async report(file: string): Promise<string | undefined> {
    const [flags] = await readAll(this.device, [this.#flags]);
    const wrong = this.names.filter((name, i) => flags[i] !== 0 || this.#onHost.has(name));
    return wrong.length === 0 ? undefined : notFinite(wrong, file);
  }

  [Symbol.dispose](): void {
    this.#flags.dispose();
  }
}
