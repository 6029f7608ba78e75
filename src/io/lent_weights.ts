// A checkpoint in the hands of someone who disposes what he is given. In: a WeightSource. Out: the same, which disposing leaves open.

import type { WeightSource } from "./weights.ts";

/** Sees a checkpoint that stays open when the view is disposed. */
export function lentWeights(source: WeightSource): WeightSource {
  return {
    name: source.name,
    metadata: source.metadata,
    names: () => source.names(),
    has: (name) => source.has(name),
    info: (name) => source.info(name),
    read: (name, ...range) => source.read(name, ...range),
    [Symbol.dispose]: () => {},
  };
}
