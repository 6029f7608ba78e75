// A ControlNet's checkpoint in either layout: the original's `.pth`, which may hold its base network, too, or a folder of diffusers'
// research project. In: a path or URL. Out: its weights under diffusers' names in dtypes that networks are loaded from.

import { WeightsError } from "../errors.ts";
import { asPlainFloats } from "../io/cast_weights.ts";
import { CONTROLNET_ANCHORS, controlNetAsDiffusers } from "../io/controlnet_names.ts";
import { type ModelFilesOptions, type ModelFilesRule, openModelFiles } from "../io/model_files.ts";
import { withoutPrefix } from "../io/weight_prefix.ts";
import type { WeightSource } from "../io/weights.ts";
import type { TransformerConfig } from "./config.ts";

const RULE: ModelFilesRule = {
  component: "controlnet",
  stem: "diffusion_pytorch_model",
  isOwn: (config) => config._class_name === "PixArtControlNetAdapterModel",
};

/**
 * Opens a ControlNet's checkpoint. Only headers are read.
 *
 * @returns The weights; whoever opened them disposes them.
 * @throws {WeightsError} when there are no weights, or they are broken or no ControlNet's.
 */
export async function openControlNet(address: string, options: ModelFilesOptions = {}): Promise<WeightSource> {
  const { source: stored } = await openModelFiles(address, RULE, options);
  try {
    return asPlainFloats(controlNetAsDiffusers(withoutPrefix(stored, CONTROLNET_ANCHORS)));
  } catch (error) {
    stored[Symbol.dispose]();
    throw error;
  }
}

/**
 * How many blocks of its base a ControlNet copies.
 *
 * @throws {WeightsError} when it is no ControlNet, or has more copies than the base has blocks behind its first.
 */
export function copiesOf(source: WeightSource, base: TransformerConfig): number {
  const indices = source.names().map((name) => /^controlnet_blocks\.(\d+)\./.exec(name)?.[1]);
  const copies = Math.max(0, ...indices.map((index) => index === undefined ? 0 : Number(index) + 1));
  if (copies > 0 && copies < base.numLayers) return copies;
  throw new WeightsError(
    `Cannot load ${source.name} as a ControlNet as it must copy 1 to ${
      base.numLayers - 1
    } blocks of its base: ${copies}`,
  );
}
