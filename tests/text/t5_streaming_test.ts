// An encoder that is larger than the memory for it: the same numbers, within the budget.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { read } from "../../src/gpu/readback.ts";
import { T5EncoderModel, type TextEncoderOptions } from "../../src/text/t5_encoder.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { device } from "../_device.ts";
import { numbers } from "../_reference.ts";
import { inMemory } from "../_weights.ts";

const VOCABULARY = 10, WIDTH = 64, INNER = 128, HEADS = 4, BLOCKS = 5;
const IDS = [3, 1, 4, 1, 5, 9], MASK = [1, 1, 1, 1, 1, 0];
const CONFIG = parseT5Config({
  vocab_size: VOCABULARY,
  d_model: WIDTH,
  d_kv: WIDTH / HEADS,
  d_ff: INNER,
  num_layers: BLOCKS,
  num_heads: HEADS,
  feed_forward_proj: "gated-gelu",
});
const BLOCK_FLOATS = 4 * WIDTH * WIDTH + 3 * WIDTH * INNER + 2 * WIDTH;
/** A piece of the checkpoint on its way: the largest weight. */
const STAGING = WIDTH * INNER * 4;

/** A random encoder of five blocks; `onRead` is told the name of each tensor that is read. */
async function encoder(options: TextEncoderOptions = {}, onRead: (name: string) => void = () => {}) {
  let seed = 0;
  const random = (...shape: number[]) => ({
    dtype: "F32" as const,
    shape,
    data: numbers(shape.reduce((a, b) => a * b), ++seed).map((x) => 0.2 * x),
  });
  const tensors: Parameters<typeof inMemory>[0] = {
    "shared.weight": random(VOCABULARY, WIDTH),
    "encoder.final_layer_norm.weight": random(WIDTH),
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": random(32, HEADS),
  };
  for (let i = 0; i < BLOCKS; i++) {
    const name = `encoder.block.${i}.layer`;
    for (const part of "qkvo") tensors[`${name}.0.SelfAttention.${part}.weight`] = random(WIDTH, WIDTH);
    for (const part of ["wi_0", "wi_1"]) tensors[`${name}.1.DenseReluDense.${part}.weight`] = random(INNER, WIDTH);
    tensors[`${name}.1.DenseReluDense.wo.weight`] = random(WIDTH, INNER);
    for (const part of [0, 1]) tensors[`${name}.${part}.layer_norm.weight`] = random(WIDTH);
  }
  const source = await inMemory(tensors);
  const inner = source.read.bind(source);
  source.read = (name, ...range) => {
    onRead(name);
    return inner(name, ...range);
  };
  return await T5EncoderModel.fromWeights(device, CONFIG, source, { dtype: "f32", ...options });
}

/** The embeddings, and the most bytes that were allocated at once for them. */
async function encode(model: T5EncoderModel, options?: Parameters<T5EncoderModel["encode"]>[4]) {
  device.arena.trim();
  device.ledger.resetPeak();
  const before = device.ledger.bytes;
  using scope = device.arena.scope();
  const embeds = await model.encode(scope, IDS, 2, MASK, options);
  const peak = device.ledger.peak - before;
  return { values: await read(device, embeds), peak };
}

const unstreamed = await (async () => {
  using model = await encoder();
  assert.ok(!model.isStreamed);
  await encode(model); // parameters of its kernels stay
  return await encode(model);
})();

Deno.test("T5EncoderModel.encode() streams its blocks within its budget, with the very same numbers", async () => {
  const rest = WIDTH * 4;
  for (const slots of [1, 2]) {
    const weightBudget = slots * BLOCK_FLOATS * 4 + rest + STAGING;
    const progress: [number, number][] = [];
    // Told as the model was loaded, and by the call where that says so.
    const told: number[] = [];
    using model = await encoder({ weightBudget, onProgress: (loaded) => told.push(loaded) });
    assert.ok(model.isStreamed);
    told.length = 0;
    await encode(model);
    assert.equal(told.at(-1), BLOCKS * BLOCK_FLOATS * 4);
    const count = told.length;
    const { values, peak } = await encode(model, { onProgress: (...step) => progress.push(step) });
    assert.equal(told.length, count);
    assert.deepEqual(values, unstreamed.values);
    // Activations come on top, those of an unstreamed run.
    assert.ok(peak <= weightBudget + unstreamed.peak, `${peak} of ${weightBudget} and ${unstreamed.peak}`);
    assert.ok(peak >= slots * BLOCK_FLOATS * 4, `${peak} with ${slots}`);
    assert.deepEqual(progress.at(-1), [BLOCKS * BLOCK_FLOATS * 4, BLOCKS * BLOCK_FLOATS * 4]);
    assert.ok(progress.every(([loaded], i) => i === 0 || loaded > progress[i - 1][0]));
    assert.deepEqual((await encode(model)).values, values);
  }
});

Deno.test("T5EncoderModel keeps all of its blocks where the budget holds them, and refuses one that holds none", async () => {
  using model = await encoder({ weightBudget: BLOCKS * BLOCK_FLOATS * 4 + WIDTH * 4 + STAGING });
  assert.ok(!model.isStreamed);
  await assert.rejects(encoder({ weightBudget: BLOCK_FLOATS * 4 }), (error) => {
    return error instanceof UsageError && /as one block must fit/.test(error.message);
  });
});

Deno.test("T5EncoderModel.encode() frees all blocks when one cannot be read or the signal is aborted", async () => {
  let broken = false;
  const weightBudget = 2 * BLOCK_FLOATS * 4 + WIDTH * 4 + STAGING;
  using model = await encoder({ weightBudget }, (name) => {
    if (broken && name.includes("block.3")) throw new Error("the disk is gone");
  });
  device.arena.trim();
  const before = device.ledger.bytes;
  broken = true;
  await assert.rejects(encode(model), /the disk is gone/);
  broken = false;
  const aborter = new AbortController();
  const onProgress = (loaded: number) => loaded > 2 * BLOCK_FLOATS * 4 && aborter.abort(new Error("enough"));
  await assert.rejects(encode(model, { signal: aborter.signal, onProgress }), /enough/);
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
  assert.deepEqual((await encode(model)).values, unstreamed.values);
});

Deno.test("T5EncoderModel.encode() streams for two callers at once, and offloaded", async () => {
  const weightBudget = BLOCK_FLOATS * 4 + WIDTH * 4 + STAGING;
  using model = await encoder({ weightBudget, offload: true });
  assert.ok(!model.isLoaded);
  using scope = device.arena.scope();
  const both = await Promise.all([model.encode(scope, IDS, 2, MASK), model.encode(scope, IDS, 2, MASK)]);
  for (const embeds of both) assert.deepEqual(await read(device, embeds), unstreamed.values);
  assert.ok(!model.isLoaded);
});
