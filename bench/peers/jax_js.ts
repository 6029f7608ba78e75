// jax-js as a peer. Its arrays are consumed by use (`ref` keeps one), and lazy: work is done when its result is waited for.

import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, tree } from "@jax-js/jax";
import type { Array as JaxArray } from "@jax-js/jax";
import type { Peer } from "./peer.ts";
import { type Ops, PROGRAMS } from "./programs.ts";

const heads = (x: JaxArray, count: number) => {
  const [tokens, width] = [x.shape[0], x.shape.slice(1).reduce((a, b) => a * b, 1)];
  return x.reshape([1, tokens, count, width / count]);
};

const ops: Ops<JaxArray> = {
  matmul: (x, w) => np.matmul(x.ref, w.ref),
  add: (x, y) => np.add(x.ref, y.ref),
  mul: (x, y) => np.multiply(x.ref, y.ref),
  plusOne: (x) => np.add(x.ref, 1),
  layerNorm: (x) => nn.standardize(x.ref, -1, { epsilon: 1e-6 }),
  gelu: (x) => nn.gelu(x.ref, { approximate: true }),
  row: (x, i) => np.split(x.ref, x.shape[0], 0)[i],
  attention(q, k, v, count) {
    const result = nn.dotProductAttention(heads(q.ref, count), heads(k.ref, count), heads(v.ref, count));
    return result.reshape([q.shape[0], q.shape.slice(1).reduce((a, b) => a * b, 1)]);
  },
  conv2d: (x, w, bias) => np.add(lax.conv(x.ref, w.ref, [1, 1], "SAME"), bias.ref.reshape([1, -1, 1, 1])),
  groupNormSilu(x, weight, bias, groups) {
    const normal = nn.standardize(x.ref.reshape([groups, -1]), -1, { epsilon: 1e-6 }).reshape(x.shape);
    const factors = [weight, bias].map((vector) => vector.ref.reshape([1, -1, 1, 1]));
    return nn.silu(np.add(np.multiply(normal, factors[0]), factors[1]));
  },
};

/** Finds its device. */
export async function open(): Promise<Peer> {
  const found = await init("webgpu");
  if (!found.includes("webgpu")) throw new Error("jax-js finds no WebGPU");
  defaultDevice("webgpu");
  return {
    channelsFirst: true,
    async prepare(kind, inputs, extents) {
      const arrays: Record<string, JaxArray> = {};
      for (const [name, { shape, data }] of Object.entries(inputs)) arrays[name] = np.array(data, { shape });
      await blockUntilReady(arrays);
      const program = jit((named: Record<string, JaxArray>) => PROGRAMS[kind](ops, named, extents));
      const once = () => program(tree.ref(arrays)) as JaxArray;
      return {
        async run(count) {
          const results = Array.from({ length: count }, once);
          await blockUntilReady(results);
          for (const result of results) result.dispose();
        },
        read: async () => new Float32Array(await once().data()),
        [Symbol.dispose]: () => tree.dispose(arrays),
      };
    },
  };
}
