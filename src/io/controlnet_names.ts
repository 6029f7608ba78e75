// The names of a ControlNet's tensors: the original repository's and those of diffusers' research project (REFERENCE F18, F19). In: a
// checkpoint in either's names, or a base network. Out: its ControlNet under diffusers'.

import { MappedWeights, wholeTensor } from "./mapped_weights.ts";
import { asDiffusers } from "./original_names.ts";
import type { WeightSource } from "./weights.ts";
import { withZeros } from "./zero_weights.ts";

/** Names that every ControlNet has: the original's, then diffusers'. */
export const CONTROLNET_ANCHORS: readonly string[] = [
  "controlnet.0.before_proj.weight",
  "controlnet_blocks.0.before_proj.weight",
];

const COPIED = /^controlnet\.(\d+)\.copied_block\./;

/** The same tensors under other names; those without a name are left out. */
function renamed(source: WeightSource, nameOf: (name: string) => string | undefined): WeightSource {
  const names = source.names().flatMap((name) => {
    const other = nameOf(name);
    return other === undefined ? [] : [[other, wholeTensor(source, name)] as const];
  });
  return new MappedWeights(source, new Map(names));
}

/**
 * Sees a ControlNet under diffusers' names. The base network, which the original stores in the same file, is left out.
 *
 * @returns A source that is disposed with the given one; the given one itself when it has those names.
 * @throws {WeightsError} when a fused projection does not cut into equal parts.
 */
export function controlNetAsDiffusers(source: WeightSource): WeightSource {
  if (!source.has(CONTROLNET_ANCHORS[0])) return source;
  // A copy has the names of the block that it was copied from.
  const blocks = renamed(source, (name) => {
    if (!name.startsWith("controlnet.")) return undefined;
    return name.replace(COPIED, "blocks.$1.").replace(/^controlnet\./, "controlnet_blocks.");
  });
  return renamed(
    asDiffusers(blocks),
    (name) => name.replace(/^transformer_blocks\.(\d+)\./, "controlnet_blocks.$1.transformer_block."),
  );
}

/**
 * Makes a ControlNet that does not steer yet of its base network: copies of the first blocks, and projections of zeros.
 *
 * @param base Under diffusers' names; it is disposed with the result.
 * @param copies How many blocks are copied.
 * @param width C of the tokens.
 */
export function controlNetOfBase(base: WeightSource, copies: number, width: number): WeightSource {
  const blocks = renamed(base, (name) => {
    const [, block, rest] = /^transformer_blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
    return Number(block) < copies ? `controlnet_blocks.${block}.transformer_block.${rest}` : undefined;
  });
  const each = Array.from({ length: copies }, (_, i) => `controlnet_blocks.${i}.after_proj`);
  const projections = ["controlnet_blocks.0.before_proj", ...each];
  return withZeros(
    blocks,
    new Map(projections.flatMap((name) => [[`${name}.weight`, [width, width]], [`${name}.bias`, [width]]])),
  );
}
