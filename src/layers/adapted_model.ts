// A model that can wear LoRAs: what its user calls. In: files, names and scales. Out: the same model with other weights.

import type { WeightSource } from "../io/weights.ts";
import type { AdapterInfo, AdapterSet, LoadLoraOptions } from "./adapters.ts";
import type { LoadOptions } from "./parameters.ts";
import { ResidentModel } from "./resident_model.ts";

/**
 * A model whose weights LoRAs and DoRAs change.
 *
 * Changes are made in the order of the calls, and while one is under way the model must not be run. What was computed with
 * other weights, such as an encoded caption, belongs to those.
 */
export abstract class AdaptedModel extends ResidentModel {
  protected abstract readonly adapterSet: AdapterSet;

  protected override fill(source: WeightSource, options: LoadOptions): Promise<void> {
    return this.adapterSet.loadParameters(source, { ...options, optional: this.optionalNames });
  }

  protected override evict(): void {
    this.adapterSet.disposeParameters();
  }

  /** The LoRAs that are loaded or fused, in the order in which they apply. */
  get adapters(): readonly AdapterInfo[] {
    return this.adapterSet.list;
  }

  /**
   * Loads a LoRA or DoRA and makes it the only active one, at scale 1; `setAdapters` activates several.
   *
   * @param from A path or URL: a folder of PEFT or diffusers, or a file with the names of PEFT, diffusers, kohya or OneTrainer.
   * @param options `adapterName` is what it is called from then on; with `activate: false` it is loaded only.
   * @returns That name.
   * @throws {WeightsError} naming what is no module of this model, incomplete, or of another shape.
   * @throws {ConfigError} when its configuration asks for what cannot be done.
   * @throws {UsageError} when the name is taken, or the model's checkpoint cannot be read again.
   * @example
   * ```ts ignore
   * await transformer.loadLora("loras/watercolour.safetensors", { adapterName: "watercolour", activate: false });
   * await transformer.loadLora("loras/cats", { adapterName: "cats", activate: false });
   * await transformer.setAdapters(["watercolour", "cats"], [0.8, 0.5]);
   * ```
   */
  loadLora(from: string | URL, options: LoadLoraOptions = {}): Promise<string> {
    return this.adapterSet.load(from, options);
  }

  /**
   * Makes these LoRAs the active ones; the others stay loaded.
   *
   * @param names In the order in which they apply; none for the model as it is.
   * @param scales One for each, or one for all; each multiplies the LoRA's own alpha / rank.
   * @throws {UsageError} when one is not loaded or is fused, or scales and names do not fit.
   */
  setAdapters(
    names: string | readonly string[],
    scales: number | readonly number[] = 1,
    options: LoadOptions = {},
  ): Promise<void> {
    return this.adapterSet.set(names, scales, options);
  }

  /**
   * Makes the active LoRAs part of the model's weights: they stay there when they are unloaded, and others come on top of them.
   *
   * @param options `loraScale` multiplies their scales; `adapterNames` are those to fuse, in place of the active ones.
   * @throws {UsageError} when there is none to fuse.
   */
  fuseLora(options: { loraScale?: number; adapterNames?: readonly string[] } = {}): Promise<void> {
    return this.adapterSet.fuse(options);
  }

  /** Takes fused LoRAs out of the weights again; those that are still loaded become active. */
  unfuseLora(): Promise<void> {
    return this.adapterSet.unfuse();
  }

  /**
   * Unloads a LoRA, or all of them; the weights become what they were, except for what is fused.
   *
   * @param name Which one; all when not given.
   * @throws {UsageError} when there is none of that name.
   */
  unloadLora(name?: string): Promise<void> {
    return this.adapterSet.unload(name);
  }
}
