// The encoder with its weights in small integers: GGUF's blocks of every kind as they are stored, and blocks made while loading.

import assert from "node:assert/strict";
import type { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { BLOCK_OF, type QuantType } from "../../src/io/gguf_blocks.ts";
import { FORMAT_OF } from "../../src/ops/block_weight.ts";
import type { WeightDType } from "../../src/ops/weight_kernels.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { T5EncoderModel } from "../../src/text/t5_encoder.ts";
import { device } from "../_device.ts";
import { numbers, relativeL2 } from "../_reference.ts";
import { f32, type StoredTensor, storedWeights } from "../layers/_stored_weights.ts";
import { weightBlocks } from "../ops/_block_weight.ts";
import { plainDevice } from "../ops/_portable.ts";

const WIDTH = 256, INNER = 512, HEADS = 4, BLOCKS = 2;
const IDS = [3, 1, 4, 1, 5, 9, 2], MASK = [1, 1, 1, 1, 1, 1, 0];
const CONFIG = parseT5Config({
  vocab_size: 10,
  d_model: WIDTH,
  d_kv: WIDTH / HEADS,
  d_ff: INNER,
  num_layers: BLOCKS,
  num_heads: HEADS,
  feed_forward_proj: "gated-gelu",
});

const floats = (shape: number[], seed: number, scale: number, middle = 0) => {
  const data = numbers(shape.reduce((a, b) => a * b), seed, scale).map((value) => value + middle);
  return f32(shape, data as Float32Array<ArrayBuffer>);
};

/** A random encoder; `matrix` makes a weight [N, K] of a root mean square. */
function checkpoint(matrix: (shape: number[], seed: number, size: number, name: string) => StoredTensor) {
  const tensors: Record<string, StoredTensor> = {
    "shared.weight": floats([10, WIDTH], 1, 1),
    "encoder.final_layer_norm.weight": floats([WIDTH], 2, 0.3, 1),
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": floats([32, HEADS], 3, 1),
  };
  let seed = 3;
  for (let i = 0; i < BLOCKS; i++) {
    const name = `encoder.block.${i}.layer`;
    const add = (part: string, shape: number[], size: number) =>
      tensors[`${name}.${part}.weight`] = matrix(shape, ++seed, size, part);
    // As T5 begins: queries come with the root of the head's width in them.
    add("0.SelfAttention.q", [WIDTH, WIDTH], (WIDTH * WIDTH / HEADS) ** -0.5);
    for (const part of "kvo") add(`0.SelfAttention.${part}`, [WIDTH, WIDTH], WIDTH ** -0.5);
    for (const part of ["wi_0", "wi_1"]) add(`1.DenseReluDense.${part}`, [INNER, WIDTH], WIDTH ** -0.5);
    add("1.DenseReluDense.wo", [WIDTH, INNER], INNER ** -0.5);
    for (const part of [0, 1]) tensors[`${name}.${part}.layer_norm.weight`] = floats([WIDTH], ++seed, 0.3, 1);
  }
  return storedWeights(tensors);
}

const blocksOf = (kind: QuantType) => (shape: number[], seed: number, size: number): StoredTensor => {
  return { dtype: kind, shape, bytes: weightBlocks(kind, shape[0] * shape[1], seed, size) };
};

/** What an encoder makes of the ids, how it says it keeps its weights, and the bytes they take. */
async function encode(on: Device, source: ReturnType<typeof checkpoint>, dtype?: WeightDType) {
  using model = await T5EncoderModel.fromWeights(on, CONFIG, source, { dtype });
  using scope = on.arena.scope();
  const numbers = await read(on, await model.encode(scope, IDS, 1, MASK));
  const before = on.ledger.bytes;
  model.dispose();
  return { numbers, bytes: before - on.ledger.bytes, dtype: model.dtype };
}

const MATRIX_ELEMENTS = BLOCKS * (4 * WIDTH * WIDTH + 3 * WIDTH * INNER);

Deno.test("T5EncoderModel keeps GGUF's blocks of every kind as they are stored, with the numbers that they stand for", async () => {
  for (const kind of Object.keys(BLOCK_OF) as QuantType[]) {
    const source = checkpoint(blocksOf(kind));
    const { numbers: exact } = await encode(device, source, "f32");
    const { dtype, blockLength, hasMinimum } = FORMAT_OF[kind];
    const bits = (dtype === "int8" ? 8 : 4) + 16 / blockLength * (hasMinimum ? 2 : 1);
    for (const on of [device, plainDevice]) {
      const stored = await encode(on, source);
      assert.equal(stored.dtype, dtype, kind);
      const perElement = (stored.bytes - 4 * WIDTH * (2 * BLOCKS + 1)) * 8 / MATRIX_ELEMENTS;
      assert.ok(Math.abs(perElement - bits) < 0.1, `${kind}: ${perElement} bits for ${bits}`);
      const error = relativeL2(stored.numbers, exact);
      // Scales of scales are rounded to halves, and on a GPU activations are.
      const most = !on.software ? 1e-2 : BLOCK_OF[kind].elements > 32 ? 2e-3 : 2e-5;
      assert.ok(error < most, `${kind}: ${error}`);
    }
  }
});

Deno.test("T5EncoderModel keeps queries, keys and values of several kinds side by side", async () => {
  const kinds: Record<string, QuantType> = { q: "Q4_K", k: "Q8_0", o: "Q6_K", wi_0: "Q5_1", wi_1: "Q5_1", wo: "Q3_K" };
  const source = checkpoint((shape, seed, size, name) => {
    const kind = kinds[name.split(".").at(-1)!];
    return kind ? blocksOf(kind)(shape, seed, size) : floats(shape, seed, Math.sqrt(3) * size);
  });
  const [{ numbers: exact }, { numbers: stored }] = [await encode(device, source, "f32"), await encode(device, source)];
  const error = relativeL2(stored, exact);
  assert.ok(error > 1e-6 && error < (device.software ? 2e-3 : 1e-2), `${error}`);
});

Deno.test("T5EncoderModel makes blocks of 8 and 4 bits while loading, of floats and of other blocks", async () => {
  const makers = [
    (shape: number[], seed: number, size: number) => floats(shape, seed, Math.sqrt(3) * size),
    blocksOf("Q6_K"),
  ];
  for (const maker of makers) {
    const source = checkpoint(maker);
    const { numbers: exact, bytes: most } = await encode(device, source, "f32");
    for (const [dtype, least, largest, share] of [["int8", 1e-3, 2e-2, 8.5], ["int4", 2e-2, 3e-1, 4.5]] as const) {
      for (const on of [device, plainDevice]) {
        const small = await encode(on, source, dtype);
        assert.equal(small.dtype, dtype);
        assert.ok(small.bytes < most * (share + 0.1) / 32, `${dtype}: ${small.bytes} of ${most}`);
        const error = relativeL2(small.numbers, exact);
        assert.ok(error > least && error < largest, `${dtype}: ${error}`);
      }
    }
  }
});
