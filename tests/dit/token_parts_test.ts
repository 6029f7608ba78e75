// Tokens that are more than a binding holds go through the network in parts. Here the device is told to hold few bytes, so that a small
// network goes the way of a large one. What merges keys is right to rounding, all else bit for bit.

import assert from "node:assert/strict";
import { transformerTensors } from "../../src/checkpoints/random_tensors.ts";
import { RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { parseTransformerConfig } from "../../src/dit/config.ts";
import { PixArtControlNetAdapterModel } from "../../src/dit/controlnet.ts";
import { tokenPlaces } from "../../src/dit/token_parts.ts";
import { PixArtTransformer2DModel, type PredictOptions } from "../../src/dit/transformer.ts";
import type { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { TensorData } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { device, openDevice } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { inMemory, renamed } from "../_weights.ts";

const GRID = { height: 24, width: 20 };
const TOKENS = GRID.height * GRID.width;
const WIDTH = 128;
/** Of 480 tokens, whose hidden rows take 960 KiB a sample, a binding holds about a third and a buffer two thirds. */
const LIMITS = { maxStorageBufferBindingSize: 400 * 1024, maxBufferSize: 800 * 1024 };
const SMALL = { num_attention_heads: 4, attention_head_dim: 32, num_layers: 3, caption_channels: 16, sample_size: 48 };

function randomWeights(json: Record<string, unknown> = {}) {
  const config = parseTransformerConfig({ ...SMALL, ...json });
  return { config, source: new RandomWeights("small", transformerTensors(config), 5, "F32") };
}

const limited = await openDevice({ limits: LIMITS });

interface Case {
  json?: Record<string, unknown>;
  captions?: number;
  perturbedBlocks?: ReadonlySet<number>;
  controlled?: boolean;
  /** How weights are kept; f32 when not given. */
  dtype?: "f32" | "f16";
}

/** A ControlNet of two copies of the base's blocks, with projections that are not zero. */
async function controlNet(device: Device, base: PixArtTransformer2DModel) {
  using weights = randomWeights().source;
  using copies = renamed(
    weights,
    (name) =>
      /^transformer_blocks\.[01]\./.test(name)
        ? name.replace(/^transformer_blocks\.(.)/, "controlnet_blocks.$1.transformer_block")
        : undefined,
  );
  const tensors: Record<string, TensorData> = {};
  for (const name of copies.names()) {
    tensors[name] = { dtype: "F32", shape: copies.info(name).shape, data: await readFloats(copies, name) };
  }
  ["0.before_proj", "0.after_proj", "1.after_proj"].forEach((name, seed) => {
    const weight = numbers(WIDTH * WIDTH, seed, 0.1), bias = numbers(WIDTH, seed, 0.1);
    tensors[`controlnet_blocks.${name}.weight`] = { dtype: "F32", shape: [WIDTH, WIDTH], data: weight };
    tensors[`controlnet_blocks.${name}.bias`] = { dtype: "F32", shape: [WIDTH], data: bias };
  });
  using source = await inMemory(tensors);
  return await PixArtControlNetAdapterModel.fromWeights(device, base.config, source, { dtype: "f32" });
}

/** The prediction for two samples. */
async function predict(device: Device, { json, captions = 1, controlled, dtype = "f32", ...options }: Case) {
  const { config, source } = randomWeights(json);
  using model = await PixArtTransformer2DModel.fromWeights(device, config, source, { dtype });
  using net = controlled ? await controlNet(device, model) : undefined;
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const [samples, L] = [2, 5], h = 2 * GRID.height, w = 2 * GRID.width;
  const latents = rec.upload(numbers(samples * 4 * h * w), [samples, 4, h, w]);
  const embeds = rec.upload(numbers(captions * samples * L * 16, 2), [captions * samples, L, 16]);
  const mask = numbers(captions * samples * L, 3).map((value) => value > 0 ? 1 : 0);
  const caption = model.encodeCaption(rec, embeds, mask, net?.blocks);
  const times = model.encodeTimes(rec, [300], undefined, net?.blocks);
  const predictOptions: PredictOptions = { row: 0, ...options };
  if (net) {
    const condition = rec.upload(numbers(4 * h * w, 4), [1, 4, h, w]);
    predictOptions.control = net.prepare(rec, model.embedLatents(rec, condition), 0.7);
  }
  const prediction = model.predict(rec, latents, caption, times, predictOptions);
  rec.submit();
  return await read(device, prediction);
}

const assertSameBits = (actual: Float32Array, expected: Float32Array) =>
  assert.equal(actual.findIndex((value, i) => value !== expected[i]), -1);

Deno.test("PixArtTransformer2DModel.predict() gives the same in parts, however keys are made", async () => {
  const compressed = (sampling: string) => ({
    kv_compress_config: { sampling, scale_factor: 2, kv_compress_layer: [0, 2] },
  });
  const cases: Case[] = [
    {},
    { captions: 2, perturbedBlocks: new Set([1]) },
    { captions: 2, controlled: true },
    { json: { qk_norm: true } },
    { dtype: "f16" },
    { json: compressed("conv") },
    { json: compressed("uniform_every"), captions: 2, perturbedBlocks: new Set([0]) },
  ];
  for (const options of cases) {
    // With tensor cores, halves lie between layers.
    const tolerance = options.dtype === "f16" ? 3e-3 : 5e-6;
    assertClose(await predict(limited, options), await predict(device, options), tolerance, Deno.inspect(options));
  }
});

Deno.test("PixArtTransformer2DModel.predict() gives the same bits in parts where no keys are merged", async () => {
  // Every token keeps its own value; and samples that fit alone attend to the same keys in one piece.
  const perturbed = { perturbedBlocks: new Set([0, 1, 2]) };
  assertSameBits(await predict(limited, perturbed), await predict(device, perturbed));
  const sample = TOKENS * 4 * WIDTH * 4;
  using samplewise = await openDevice({ limits: { maxStorageBufferBindingSize: sample, maxBufferSize: sample } });
  assertSameBits(await predict(samplewise, { captions: 2 }), await predict(device, { captions: 2 }));
});

Deno.test("tokenPlaces() cuts samples alike, at multiples of the grain, into parts that a binding holds", () => {
  const holding = (floats: number) => ({ maxBufferSize: Infinity, maxStorageBufferBindingSize: 4 * floats });
  assert.deepEqual(tokenPlaces(holding(1000), [2, 5], 100, 1), [{ sample: 0, samples: 2, first: 0, count: 5 }]);
  assert.deepEqual(
    tokenPlaces(holding(1000), [2, 6], 100, 1).map(({ sample, first, count }) => [sample, first, count]),
    [
      [0, 0, 6],
      [1, 0, 6],
    ],
  );
  const counts = (tokens: number, grain: number) =>
    tokenPlaces(holding(1000), [1, tokens], 100, grain).map(({ count }) => count);
  assert.deepEqual(counts(21, 1), [7, 7, 7]);
  assert.deepEqual(counts(21, 4), [8, 8, 5]);
  assert.deepEqual(counts(30, 12), [12, 12, 6]); // no shorter than the grain
});
