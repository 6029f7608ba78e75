// One transformer block of PixArt-Σ XL/2 with random weights: the unit in which peers are raced as a whole.

import { transformerTensors } from "../../src/checkpoints/random_tensors.ts";
import { RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { TransformerBlock } from "../../src/dit/block.ts";
import { modulate } from "../../src/dit/modulation.ts";
import { parseTransformerConfig } from "../../src/dit/config.ts";
import { ParameterSet } from "../../src/layers/parameters.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { readFloats } from "../../src/io/weights.ts";
import { weightBytes } from "../../src/ops/weight_bytes.ts";
import type { WeightDType } from "../../src/ops/weight_kernels.ts";
import { disposing, numbers } from "../../src/tune/work.ts";
import { type Case, WEIGHT_DTYPES } from "../case.ts";

/** Width, heads and caption tokens of PixArt-Σ. */
export const C = 1152, HEADS = 16, CAPTION = 300;

const PREFIX = "transformer_blocks.0.";
const config = parseTransformerConfig({ num_layers: 1 });
const tensors = transformerTensors(config).filter(({ name }) => name.startsWith(PREFIX));
const weights = () => new RandomWeights("a random block", tensors, 1, "F32");

/**
 * Operations of a block for one sample.
 *
 * @param tokens N, image tokens.
 * @param withCaption Whether keys and values of the caption are made, too.
 */
export function blockFlops(tokens: number, withCaption: boolean): number {
  const linears = 2 * tokens * C * C * 14 + (withCaption ? 4 * CAPTION * C * C : 0);
  return linears + 4 * tokens * tokens * C + 4 * tokens * CAPTION * C;
}

const inputs = (N: number) => ({
  x: numbers(N * C, 1),
  caption: numbers(CAPTION * C, 2),
  modulation: numbers(6 * C, 3, 0.5),
});

/** The weights of the block under short names, matrices as [in, out], and the modulation with its table added. */
async function peerInputs(N: number) {
  using source = weights();
  const { x, caption, modulation } = inputs(N);
  const table = await readFloats(source, `${PREFIX}scale_shift_table`);
  const arrays: Record<string, { shape: number[]; data: Float32Array }> = {
    x: { shape: [N, C], data: x },
    caption: { shape: [CAPTION, C], data: caption },
    modulation: { shape: [6, C], data: modulation.map((value, i) => value + table[i]) },
  };
  for (const { name, shape } of tensors) {
    if (name.endsWith("scale_shift_table")) continue;
    const data = await readFloats(source, name);
    const [outs, ins] = shape;
    const short = name.slice(PREFIX.length);
    if (ins === undefined) arrays[short] = { shape: [outs], data };
    else {
      const transposed = new Float32Array(data.length);
      for (let o = 0; o < outs; o++) for (let i = 0; i < ins; i++) transposed[i * outs + o] = data[o * ins + i];
      arrays[short] = { shape: [ins, outs], data: transposed };
    }
  }
  return arrays;
}

function blockCase(size: number, dtype: WeightDType, tolerance: number): Case {
  const side = size / 16, N = side * side;
  const weightCount = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return {
    op: "block",
    shape: `Σ XL/2 ${N} tokens`,
    dtype,
    words: [String(size)],
    flops: blockFlops(N, true),
    bytes: 4 * C * (2 * N + CAPTION) + weightBytes(C, C, dtype) / C ** 2 * weightCount,
    tolerance,
    quick: size === 256 && dtype === "f16",
    large: size > 512,
    async open(device) {
      const parameters = new ParameterSet(device, "bench", dtype, PREFIX);
      const block = new TransformerBlock(parameters, 0, config);
      using source = weights();
      await parameters.load(source);
      const { x, caption, modulation } = inputs(N);
      const X = device.upload(x, [1, N, C]), captionTokens = device.upload(caption, [1, CAPTION, C]);
      const shared = device.upload(modulation, [1, 6 * C]);
      return {
        record(rec): Tensor {
          const rows = modulate(rec, shared, block.table, C, 0)(0);
          const keysValues = block.keysValues(rec, captionTokens);
          const tokens = rec.tensor(X.shape);
          rec.copy(X, tokens); // the block works in place
          const part = { x: tokens, sample: 0, samples: 1, first: 0, count: N };
          block.forward(rec, [part], { height: side, width: side }, rows, { keysValues });
          return tokens;
        },
        [Symbol.dispose]: disposing(parameters, X, captionTokens, shared),
      };
    },
    peer: dtype !== "f32" && dtype !== "f16" ? undefined : {
      kind: "block",
      extents: { N, C, heads: HEADS, caption: CAPTION },
      inputs: () => peerInputs(N),
    },
  };
}

/** All of them, in every type of weights. */
export const blockCases: readonly Case[] = [256, 512, 1024].flatMap((size) =>
  Object.entries(WEIGHT_DTYPES).map(([dtype, tolerance]) => blockCase(size, dtype as WeightDType, tolerance))
);
