// What every pipeline has: its parts, who frees them, and the LoRAs of its transformer.

import type { Device } from "../gpu/device.ts";
import type { AdaptedModel } from "../layers/adapted_model.ts";
import type { AdapterInfo } from "../layers/adapters.ts";
import { loadComponents, type PipelineComponents, type PipelineLoadOptions } from "./components.ts";
import { modelLabel } from "./metadata.ts";
import type { RehearsedPipeline } from "./rehearsal.ts";

const VAE_SCALE_FACTOR = 8; // without a VAE to ask

/** The frame of a pipeline. */
export abstract class Pipeline implements Disposable {
  readonly device: Device;
  readonly components: PipelineComponents;
  /** What pictures call the checkpoint. */
  protected modelName = "";
  #owned: Disposable[] = [];

  /** @param components Its parts; they may be shared with other pipelines, and are not freed by this one. */
  constructor(components: PipelineComponents) {
    this.components = components;
    this.device = components.transformer.device;
  }

  /** Frees the components that it loaded itself, and the device that it opened. */
  dispose(): void {
    for (const part of this.#owned.reverse()) part[Symbol.dispose]();
    this.#owned = [];
  }

  /** Loads the parts of a pipeline from a folder, and puts it together: it frees them, and its pictures carry the folder's name. */
  protected static async load<P extends Pipeline & RehearsedPipeline>(
    idOrFolder: string,
    options: PipelineLoadOptions,
    make: (components: PipelineComponents) => P,
  ): Promise<P> {
    const { components, owned } = await loadComponents(idOrFolder, options, make);
    const pipeline = make(components);
    pipeline.#owned = owned;
    pipeline.modelName = modelLabel(idOrFolder);
    return pipeline;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Pixels a latent pixel stands for, along one axis. */
  get vaeScaleFactor(): number {
    return this.components.vae?.scaleFactor ?? VAE_SCALE_FACTOR;
  }

  /** The size of a picture when none is asked for. */
  get defaultSize(): { height: number; width: number } {
    const side = this.components.transformer.config.sampleSize * this.vaeScaleFactor;
    return { height: side, width: side };
  }

  /** The transformer's LoRAs; see `AdaptedModel`. */
  get adapters(): readonly AdapterInfo[] {
    return this.components.transformer.adapters;
  }

  /** Loads a LoRA or DoRA onto the transformer and makes it the only active one; see `AdaptedModel.loadLora`. */
  loadLora(...args: Parameters<AdaptedModel["loadLora"]>): Promise<string> {
    return this.components.transformer.loadLora(...args);
  }

  /** Makes these LoRAs of the transformer the active ones; see `AdaptedModel.setAdapters`. */
  setAdapters(...args: Parameters<AdaptedModel["setAdapters"]>): Promise<void> {
    return this.components.transformer.setAdapters(...args);
  }

  /** Makes the active LoRAs part of the transformer's weights; see `AdaptedModel.fuseLora`. */
  fuseLora(...args: Parameters<AdaptedModel["fuseLora"]>): Promise<void> {
    return this.components.transformer.fuseLora(...args);
  }

  /** Takes fused LoRAs out of the transformer's weights; see `AdaptedModel.unfuseLora`. */
  unfuseLora(): Promise<void> {
    return this.components.transformer.unfuseLora();
  }

  /** Unloads a LoRA of the transformer, or all; see `AdaptedModel.unloadLora`. */
  unloadLora(name?: string): Promise<void> {
    return this.components.transformer.unloadLora(name);
  }
}
