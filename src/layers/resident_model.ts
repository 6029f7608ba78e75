// A model whose weights can leave the GPU and come back, while the model itself stays. In: a checkpoint that can be read again. Out:
// weights on the GPU while somebody uses them, or for as long as the model was told to keep them.

import { UsageError, WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { WeightSource } from "../io/weights.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import type { LoadOptions, LoadProgress, ParameterSet } from "./parameters.ts";

/** How a model begins. */
export interface StartOptions extends LoadOptions {
  /** Checks the checkpoint, but reads no weights before they are used, and frees them after each use. */
  offload?: boolean;
}

/** What a model's weights take on the GPU; known before they are read. */
export interface WeightSizes {
  /** How most of them are kept. */
  dtype: WeightDType;
  /** Bytes of all of them. */
  bytes: number;
  /** Bytes that loading takes beside them, for a piece of the checkpoint on its way. */
  staging: number;
  /** Where its blocks can be read one after another: bytes of the largest one, and of what is no block. */
  streamed?: { block: number; rest: number };
}

/**
 * A model of a pipeline.
 *
 * @example A model that is in memory while it is needed
 * ```ts
 * import { AutoencoderKL, DEFAULT_MODEL, Device } from "@pixart/webgpu";
 * using device = await Device.open();
 * using vae = await AutoencoderKL.fromPretrained(DEFAULT_MODEL, { device, subfolder: "vae", offload: true });
 * console.assert(!vae.isLoaded && device.ledger.bytes < vae.weightSizes.bytes);
 * await vae.load();
 * console.assert(vae.isLoaded);
 * await vae.unload();
 * ```
 */
export abstract class ResidentModel implements Disposable {
  abstract readonly device: Device;
  protected abstract readonly parameters: ParameterSet;
  /** Names that its checkpoints may have beside its parameters. */
  protected readonly optionalNames: readonly string[] = [];
  #users = 0;
  #stays = false;
  #isDisposed = false;
  #sizes: WeightSizes | undefined;
  #onProgress: LoadProgress | undefined;
  #onWarning: LoadOptions["onWarning"];

  /** Opens its checkpoint again; nothing where that cannot be done. */
  protected abstract readonly reopen: (() => Promise<WeightSource>) | undefined;

  /** Reads all weights from its checkpoint. */
  protected fill(source: WeightSource, options: LoadOptions): Promise<void> {
    return this.parameters.load(source, { ...options, optional: this.optionalNames });
  }

  /** Frees what it has on the GPU. */
  protected evict(): void {
    this.parameters.dispose();
  }

  /** What its weights take when they come from this checkpoint, which was checked. */
  protected measure(source: WeightSource): WeightSizes {
    const { dtype, bytes } = this.parameters;
    return { dtype, bytes, staging: this.parameters.stagingBytes(source) };
  }

  /** What its weights take on the GPU, whether they are there or not. */
  get weightSizes(): WeightSizes {
    return this.#sizes!;
  }

  /** Begins with a checkpoint that is open. */
  protected async start(source: WeightSource, { offload = false, ...load }: StartOptions): Promise<void> {
    this.#onProgress = load.onProgress;
    this.#onWarning = load.onWarning;
    if (offload) {
      this.#reopener();
      this.parameters.check(source, this.optionalNames);
    } else {
      await this.fill(source, load);
      this.#stays = true;
    }
    this.#sizes = this.measure(source);
  }

  /** Whether its weights are on the GPU. */
  get isLoaded(): boolean {
    return this.parameters.isLoaded;
  }

  /**
   * Loads its weights, unless they are there, to stay until `unload`. LoRAs that are active are in them.
   *
   * @throws {WeightsError} when its checkpoint changed or cannot be read.
   * @throws {UsageError} when it was made from weights that cannot be read again.
   */
  async load(options: LoadOptions = {}): Promise<void> {
    await using _held = await this.use(options);
    this.#stays = true;
  }

  /** Frees its weights, at once or when the last use of them ends; a later use loads them again. */
  async unload(): Promise<void> {
    this.#stays = false;
    await this.#leave();
  }

  /**
   * Loads its weights, unless they are there, and holds them until the result is disposed.
   *
   * @returns What ends the use. Weights that nobody holds and that were not loaded to stay are freed then, after the work that was
   * submitted is done.
   * @throws {WeightsError} when its checkpoint changed or cannot be read.
   * @example
   * ```ts ignore
   * {
   *   await using _held = await vae.use({ signal });
   *   image = vae.decode(rec, latents);
   *   rec.submit();
   * }
   * ```
   */
  async use(options: LoadOptions = {}): Promise<AsyncDisposable> {
    let holds = true;
    const end = async () => {
      if (!holds) return;
      holds = false;
      this.#users--;
      await this.#leave();
    };
    this.#users++;
    try {
      await this.parameters.inTurn(() => this.#arrive(options));
      await this.device.compiled();
    } catch (error) {
      await end();
      throw error;
    }
    return { [Symbol.asyncDispose]: end };
  }

  /** How it is loaded when the call does not say otherwise: as at the beginning. */
  protected asBefore({ onProgress = this.#onProgress, onWarning = this.#onWarning, signal }: LoadOptions): LoadOptions {
    return { onProgress, onWarning, signal };
  }

  async #arrive(options: LoadOptions): Promise<void> {
    const { model } = this.parameters;
    if (this.#isDisposed) throw new WeightsError(`Cannot load ${model} as it must be alive: it was disposed`);
    if (this.isLoaded) return;
    options.signal?.throwIfAborted();
    using source = await this.#reopener()();
    await this.fill(source, this.asBefore(options));
  }

  // Memory of submitted work is only free once the work is done, so that freeing earlier would hide a peak from the ledger.
  async #leave(): Promise<void> {
    const isUnused = () => this.#users === 0 && !this.#stays && this.isLoaded;
    if (!isUnused()) return;
    await this.device.gpu.queue.onSubmittedWorkDone().catch(() => {}); // a lost device is told by the next call
    await this.parameters.inTurn(() => {
      if (!isUnused()) return;
      this.evict();
      this.device.arena.trim();
    });
  }

  /**
   * Opens the checkpoint that it was loaded from, under diffusers' names; whoever opened it disposes it.
   *
   * @throws {UsageError} when it was made from weights that cannot be read again.
   */
  async openCheckpoint(): Promise<WeightSource> {
    return await this.#reopener()();
  }

  #reopener(): () => Promise<WeightSource> {
    if (this.reopen) return this.reopen;
    throw new UsageError(
      `Cannot load ${this.parameters.model} again as its checkpoint must be readable again: ` +
        "it was made from weights without `reopen`",
    );
  }

  /** Frees its weights for good. */
  dispose(): void {
    this.#isDisposed = true;
    this.evict();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
