// The names of a ControlNet's tensors: the original repository's and those of diffusers' research project (REFERENCE F18, F19). In: a
// checkpoint in either's names. Out: its ControlNet under diffusers'.

import { MappedWeights, wholeTensor } from "./mapped_weights.ts";
import { asDiffusers } from "./original_names.ts";
import type { WeightSource } from "./weights.ts";

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
