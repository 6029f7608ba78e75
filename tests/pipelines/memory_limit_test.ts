// Whole runs within limits: what is allocated stays under them, and what was foretold is not far above it.

import assert from "node:assert/strict";
import { PixArtControlNetAdapterModel } from "../../src/dit/controlnet.ts";
import { UsageError } from "../../src/errors.ts";
import { Image } from "../../src/io/image.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import type { ExpectedRun } from "../../src/pipelines/memory_limit.ts";
import type { MemoryPlan } from "../../src/pipelines/memory_plan.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { device } from "../_device.ts";
import { narrowPipeline } from "./_narrow_pipeline.ts";

/** Foretold by allocated bytes; 1 MiB of what is foretold is for small things, most of a small run. */
const FARTHEST = 1.5, SMALL_THINGS = 1 << 20;

const expect = (run: ExpectedRun): ExpectedRun => ({ steps: 1, tokens: 40, useResolutionBinning: false, ...run });
const asked = ({ pictures: numImagesPerPrompt, height, width }: ExpectedRun): GenerateOptions => {
  return {
    numInferenceSteps: 1,
    maxSequenceLength: 40,
    seed: 0,
    useResolutionBinning: false,
    numImagesPerPrompt,
    height,
    width,
  };
};

/** Loads and runs a pipeline within a limit. */
async function runWithin(
  model: string,
  maxMemory: number,
  run: ExpectedRun,
): Promise<{ plan: MemoryPlan; peak: number }> {
  device.arena.trim();
  device.ledger.resetPeak();
  using pipe = await PixArtSigmaPipeline.fromPretrained(model, { device, maxMemory, maxMemoryFor: expect(run) });
  await pipe.generate("a panda", asked(run));
  return { plan: pipe.components.memory!.plan, peak: device.ledger.peak };
}

async function leastFor(model: string, run: ExpectedRun): Promise<number> {
  let least = 0;
  await assert.rejects(runWithin(model, 1, run), (error: Error) => {
    least = Number(/the least that does is [\d.]+ .?B \((\d+) bytes/.exec(error.message)?.[1]);
    return error instanceof UsageError && least > 0;
  });
  return least;
}

async function checkLimits(model: string, run: ExpectedRun, shares: readonly number[]): Promise<string[]> {
  await runWithin(model, 1e12, run); // kernels' parameters stay
  const words = new Set<string>();
  const least = await leastFor(model, run), most = (await runWithin(model, 1e12, run)).plan.peakBytes;
  for (const share of shares) {
    const limit = Math.ceil(least + share * (most - least));
    const { plan, peak } = await runWithin(model, limit, run);
    assert.ok(peak <= limit, `${peak} of ${limit} with ${plan.words}`);
    assert.ok(plan.peakBytes <= limit);
    assert.ok(
      plan.peakBytes - SMALL_THINGS <= FARTHEST * peak,
      `${plan.peakBytes} foretold, ${peak} with ${plan.words}`,
    );
    plan.words.forEach((word) => words.add(word.replace(/[\d.]+ .?B/, "N bytes")));
  }
  return [...words].sort();
}

Deno.test("fromPretrained() with maxMemory keeps the embedded model within it", async () => {
  const words = await checkLimits(DEFAULT_MODEL, { pictures: 2, height: 64, width: 128 }, [1, 0.5, 0.2, 0]);
  assert.deepEqual(words, [
    "1 of 2 pictures at a time",
    "VAE tiles of 32 pixels",
    "VAE tiles of 64 pixels",
    "offload: one network in memory at a time",
    "one picture at a time through the VAE",
    "the transformer's weights as int4",
  ]);
});

Deno.test("fromPretrained() with maxMemory keeps a model of a large text encoder within it", async () => {
  using narrow = await narrowPipeline({
    text: 256,
    textBlocks: 5,
    transformer: 128,
    blocks: 2,
    sampleSize: 16,
    vae: [16, 32, 32],
    tile: 64,
  });
  const words = await checkLimits(narrow.path, { height: 64, width: 64 }, [1, 0.6, 0.2, 0]);
  assert.ok(words.includes("the text encoder's blocks read one after another, N bytes of them at a time"), `${words}`);
});

Deno.test("generate() within a limit fits each call, and refuses one that does not before any work", async () => {
  const limit = 2.5 * await leastFor(DEFAULT_MODEL, {});
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, {
    device,
    maxMemory: limit,
    maxMemoryFor: expect({}),
  });
  device.arena.trim();
  device.ledger.resetPeak();
  const large = { height: 128, width: 128 };
  await pipe.generate("a panda", asked(large));
  assert.ok(device.ledger.peak <= limit, `${device.ledger.peak} of ${limit}`);
  const before = device.ledger.bytes;
  let steps = 0;
  const refused = pipe.generate("a panda", { ...asked({ height: 1024, width: 1024 }), onStep: () => void steps++ });
  await assert.rejects(refused, /Cannot generate a picture of 1024x1024 within .* as the least that does is .* bytes/);
  assert.deepEqual([steps, device.ledger.bytes], [0, before]);
  await assert.rejects(PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, maxMemory: 0 }), UsageError);
});

Deno.test("generate() within a limit starts from a picture and is steered by one", async () => {
  using base = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
  using controlnet = await PixArtControlNetAdapterModel.fromTransformer(base.components.transformer, { copies: 5 });
  const image = new Image({ width: 64, height: 64, pixels: new Uint8Array(64 * 64 * 4).fill(99) });
  const run = { ...asked({ height: 64, width: 64 }), image, controlImage: image, numInferenceSteps: 2 };
  const paint = async (maxMemory: number) => {
    device.arena.trim();
    const options = { device, controlnet, maxMemory, maxMemoryFor: expect({ fromImages: true, steps: 2 }) };
    using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, options);
    device.ledger.resetPeak();
    await pipe.generate("a panda", run);
    return { plan: pipe.components.memory!.plan, peak: device.ledger.peak };
  };
  const free = await paint(1e12);
  const half = device.ledger.bytes + (free.plan.peakBytes - device.ledger.bytes) * 0.5;
  for (const limit of [free.plan.peakBytes, half]) {
    const { plan, peak } = await paint(limit);
    assert.ok(peak <= limit && plan.peakBytes <= limit, `${peak}, ${plan.peakBytes} of ${limit} with ${plan.words}`);
    assert.ok(plan.peakBytes - SMALL_THINGS <= FARTHEST * peak, `${plan.peakBytes} foretold, ${peak}`);
  }
});

Deno.test("fromPretrained() with maxMemory keeps what is chosen already", async () => {
  const quantize = { transformer: "int8", textEncoder: "f16" } as const;
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, {
    device,
    maxMemory: 1e9,
    quantize,
    offload: true,
  });
  const { memory, transformer, textEncoder } = pipe.components;
  const { plan } = memory!;
  assert.deepEqual([plan.offload, plan.transformer, plan.textEncoder], [true, "int8", "f16"]);
  assert.deepEqual([transformer.dtype, transformer.isLoaded, textEncoder!.isLoaded], ["int8", false, false]);
});
