// What other tools put in front of every name of a network: `module.`, `first_stage_model.`, `text_encoders.t5xxl.transformer.`.
// In: a checkpoint and names that the network has for certain. Out: the network's tensors without what stands in front.

import { MappedWeights, wholeTensor } from "./mapped_weights.ts";
import type { WeightSource } from "./weights.ts";

/**
 * What stands in front of a network's names.
 *
 * @param anchors Names that the network has, any one of which is enough.
 * @returns The shortest prefix, empty where a name stands as it is; undefined when no anchor is there.
 */
export function prefixBefore(names: readonly string[], anchors: readonly string[]): string | undefined {
  let shortest: string | undefined;
  for (const name of names) {
    for (const anchor of anchors) {
      if (name !== anchor && !name.endsWith(`.${anchor}`)) continue;
      const prefix = name.slice(0, name.length - anchor.length);
      if (shortest === undefined || prefix.length < shortest.length) shortest = prefix;
    }
  }
  return shortest;
}

/**
 * Sees a network's tensors without the prefix that all of them have. What has another prefix belongs to another network of the
 * same file, and is left out.
 *
 * @returns A source that is disposed with the given one; the given one itself when there is no prefix.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * import { withoutPrefix } from "./weight_prefix.ts";
 * const norm = { dtype: "F32" as const, shape: [1], data: Float32Array.of(1) };
 * const file = encodeSafetensors({ "module.norm.weight": norm, "optimizer.step": norm });
 * using weights = withoutPrefix(await openSafetensors(bytesOf("example", file)), ["norm.weight"]);
 * console.assert(weights.names().join() === "norm.weight");
 * ```
 */
export function withoutPrefix(source: WeightSource, anchors: readonly string[]): WeightSource {
  const prefix = prefixBefore(source.names(), anchors);
  if (!prefix) return source;
  const own = source.names().filter((name) => name.startsWith(prefix));
  return new MappedWeights(
    source,
    new Map(own.map((name) => [name.slice(prefix.length), wholeTensor(source, name)])),
  );
}
