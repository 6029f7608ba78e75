// A pipeline whose models are in memory one at a time: the same pictures, a lower peak, nothing left behind.

import assert from "node:assert/strict";
import { UsageError, WeightsError } from "../../src/errors.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { PipelineLoadOptions } from "../../src/pipelines/components.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { device } from "../_device.ts";

const APPLE = "a red apple on a blue background";
const FEW = { numInferenceSteps: 2, seed: 0 };
const open = (options: PipelineLoadOptions = {}) =>
  PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, ...options });
const models = ({ components: { textEncoder, transformer, vae } }: PixArtSigmaPipeline) => [
  textEncoder!,
  transformer,
  vae!,
];
const loaded = (pipe: PixArtSigmaPipeline) => models(pipe).map(({ isLoaded }) => isLoaded);

/** The most bytes that are allocated at once while `work` runs, above those before. */
async function peakOf<T>(work: () => Promise<T>): Promise<[T, number]> {
  device.arena.trim();
  const before = device.ledger.bytes;
  device.ledger.resetPeak();
  const result = await work();
  const peak = device.ledger.peak - before;
  return [result, peak];
}

/** The picture without offload, and what it takes. */
const [reference, held, activations] = await (async () => {
  const [pipe, loading] = await peakOf(() => open());
  using _pipe = pipe;
  await pipe.generate(APPLE, FEW); // kernels and parameters of it stay
  const [{ images: [image] }, peak] = await peakOf(() => pipe.generate(APPLE, FEW));
  return [image.pixels, loading, peak];
})();

Deno.test("generate() with offload paints the same picture with one model in memory at a time", async () => {
  using pipe = await open({ offload: true });
  assert.deepEqual(loaded(pipe), [false, false, false]);
  const sizes: number[] = [];
  for (const model of models(pipe)) {
    const [, size] = await peakOf(() => model.load());
    sizes.push(size);
    await model.unload();
    assert.equal(model.isLoaded, false);
  }
  const [{ images: [image] }, peak] = await peakOf(() => pipe.generate(APPLE, FEW));
  assert.deepEqual(image.pixels, reference);
  assert.deepEqual(loaded(pipe), [false, false, false]);
  const most = Math.max(...sizes);
  assert.ok(most < 0.8 * held, `${sizes} of ${held}`);
  assert.ok(peak <= most + activations, `${peak} of ${most} and ${activations}`);
});

Deno.test("generate() with offload leaves nothing behind when a stage fails or is aborted", async () => {
  using pipe = await open({ offload: true });
  device.arena.trim();
  const before = device.ledger.bytes;
  const check = () => {
    device.arena.trim();
    assert.equal(device.ledger.bytes, before);
    assert.deepEqual(loaded(pipe), [false, false, false]);
  };
  const denoising = new AbortController();
  const run = pipe.generate(APPLE, {
    ...FEW,
    signal: denoising.signal,
    onStep: () => denoising.abort(new Error("no")),
  });
  await assert.rejects(run, /no/);
  check();
  // While a model is loaded, too, whichever it is.
  for (const component of ["text_encoder", "transformer", "vae"]) {
    const loading = new AbortController();
    using other = await open({
      offload: true,
      onProgress: (info) => info.component === component && loading.abort(new Error(component)),
    });
    await assert.rejects(other.generate(APPLE, { ...FEW, signal: loading.signal }), new RegExp(component));
    check();
  }
  const nan = { data: new Float32Array(1024).fill(NaN), shape: [1, 4, 16, 16] };
  await assert.rejects(pipe.generate(APPLE, { ...FEW, seed: undefined, latents: nan }), /must be finite/);
  check();
  await pipe.generate(APPLE, FEW);
  check();
});

Deno.test("pipelines that share offloaded models run interleaved, and the last one to end frees them", async () => {
  using pipe = await open({ offload: true });
  const other = new PixArtSigmaPipeline(pipe.components);
  const results = await Promise.all([pipe.generate(APPLE, FEW), other.generate(APPLE, FEW)]);
  for (const { images: [image] } of results) assert.deepEqual(image.pixels, reference);
  assert.deepEqual(loaded(pipe), [false, false, false]);
});

Deno.test("an aborted load of a model does not take it from others that wait for it", async () => {
  using pipe = await open({ offload: true });
  const { transformer } = pipe.components;
  const first = new AbortController();
  const aborted = transformer.use({ signal: first.signal, onProgress: () => first.abort(new Error("first")) });
  const second = transformer.use();
  await assert.rejects(aborted, /first/);
  {
    await using _held = await second;
    assert.ok(transformer.isLoaded);
  }
  assert.ok(!transformer.isLoaded);
});

Deno.test("load() keeps a model until unload(), which waits for whoever uses it", async () => {
  using pipe = await open({ offload: true });
  const { vae } = pipe.components;
  await vae!.load();
  await pipe.generate(APPLE, FEW);
  assert.deepEqual(loaded(pipe), [false, false, true]);
  const held = await vae!.use();
  await vae!.unload();
  assert.ok(vae!.isLoaded);
  await held[Symbol.asyncDispose]();
  await held[Symbol.asyncDispose](); // once is enough
  assert.ok(!vae!.isLoaded);
  vae!.dispose();
  await assert.rejects(vae!.load(), WeightsError);
});

Deno.test("a model of weights that cannot be read again refuses to be offloaded", async () => {
  using pipe = await open();
  const { transformer } = pipe.components;
  const { PixArtTransformer2DModel } = await import("../../src/dit/transformer.ts");
  const { openTransformer } = await import("../../src/dit/open_transformer.ts");
  const { config, source } = await openTransformer(`${DEFAULT_MODEL}/transformer`);
  using _source = source;
  await assert.rejects(PixArtTransformer2DModel.fromWeights(device, config, source, { offload: true }), UsageError);
  assert.ok(transformer.isLoaded);
});
