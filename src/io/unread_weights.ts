// A checkpoint whose numbers nobody looks at. In: a WeightSource. Out: the same names and shapes, and bytes without meaning.

import { memoryFor } from "./byte_range.ts";
import { lentWeights } from "./lent_weights.ts";
import type { WeightSource } from "./weights.ts";

/** Sees a checkpoint without reading it; it stays open when the view is disposed. */
export function unreadWeights(source: WeightSource): WeightSource {
  return {
    ...lentWeights(source),
    read: (name, start = 0, end = source.info(name).byteLength, into) => Promise.resolve(memoryFor(end - start, into)),
  };
}
