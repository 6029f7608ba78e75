// Batches that are painted in parts: the pictures are those of the whole batch, and memory is that of a part.

import assert from "node:assert/strict";
import { OutOfMemoryError } from "../../src/errors.ts";
import type { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { joined, samplesOf } from "../../src/pipelines/batch_parts.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import { picturesAtOnce } from "../../src/pipelines/picture_call.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { encodePrompt } from "../../src/pipelines/prompt_encoding.ts";
import { Generator } from "../../src/random/generator.ts";
import { schedulerFromConfig } from "../../src/schedulers/registry.ts";
import { T5EncoderModel } from "../../src/text/t5_encoder.ts";
import { device, openDevice } from "../_device.ts";
import { relativeL2 } from "../_reference.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f32" });
const scheduler = schedulerFromConfig(pipe.components.scheduler.config, "EulerAncestralDiscreteScheduler");
/** Draws fresh noise at each step. */
const noisy = new PixArtSigmaPipeline({ ...pipe.components, scheduler });
const APPLE = "a red apple on a blue background";
const PROMPTS = [APPLE, "a cactus on a pink background", "a frog on a green background"];
const FEW: GenerateOptions = { numInferenceSteps: 3, seed: 7, negativePrompt: ["blue", "", "red"] };

async function latentsOf(options: GenerateOptions, from = noisy): Promise<Float32Array> {
  const { output } = await from.generate(PROMPTS, { ...FEW, outputType: "latent", ...options });
  return output!.data;
}

Deno.test("generate() paints a batch in parts from the noise that each picture has in the whole", async () => {
  const latents = { data: new Generator(3).randn([3, 4, 16, 16]), shape: [3, 4, 16, 16] };
  using onDevice = device.upload(latents.data, latents.shape);
  const calls: GenerateOptions[] = [{}, { seed: [1, 2, 3] }, { latents }, { latents: onDevice }];
  for (const [i, options] of calls.entries()) {
    const whole = await latentsOf(options);
    assert.equal(whole.length, 3 * 1024);
    const batchSize = i === 0 ? 1 : 2;
    const difference = relativeL2(await latentsOf({ ...options, batchSize }), whole);
    assert.ok(difference < 1e-5, `call ${i}, ${batchSize} at once: ${difference}`);
  }
});

Deno.test("generate() starts the parts of a batch from the images and masks of the whole", async () => {
  const { images } = await pipe.generate(PROMPTS, FEW);
  const options = { image: images, maskImage: images, strength: 0.7 };
  const whole = await latentsOf(options);
  assert.ok(relativeL2(await latentsOf({ ...options, batchSize: 2 }), whole) < 1e-5);
});

Deno.test("generate() gives the pictures and numbers of all parts in order, and says of each where it stood", async () => {
  const options = { ...FEW, numImagesPerPrompt: 2 };
  const { images: whole } = await noisy.generate(PROMPTS, options);
  const { images: parts } = await noisy.generate(PROMPTS, { ...options, batchSize: 4 });
  assert.deepEqual(parts.map(({ metadata }) => metadata), whole.map(({ metadata }) => metadata));
  assert.deepEqual(parts.map(({ metadata: { image_index } }) => image_index), ["0", "1", "2", "3", "4", "5"]);
  parts.forEach(({ pixels }, i) => {
    assert.ok(pixels.every((value, at) => Math.abs(value - whole[i].pixels[at]) <= 1), `picture ${i}`);
  });
  const { output } = await noisy.generate(PROMPTS, { ...FEW, outputType: "np", batchSize: 2 });
  assert.deepEqual([output!.shape, output!.data.length], [[3, 64, 64, 3], 3 * 64 * 64 * 3]);
});

Deno.test("generate() tells of the steps of all parts as of one run", async () => {
  const told: [number, number][] = [];
  await pipe.generate(PROMPTS, { ...FEW, batchSize: 2, onStep: ({ step, steps }) => told.push([step, steps]) });
  assert.deepEqual(told, [[1, 6], [2, 6], [3, 6], [4, 6], [5, 6], [6, 6]]);
});

Deno.test("generate() needs less memory for a batch in parts", async () => {
  const peakOf = async (batchSize?: number) => {
    device.arena.trim();
    device.ledger.resetPeak();
    const before = device.ledger.bytes;
    await pipe.generate(APPLE, { numInferenceSteps: 1, seed: 0, numImagesPerPrompt: 6, batchSize });
    const peak = device.ledger.peak - before;
    device.arena.trim();
    assert.equal(device.ledger.bytes, before);
    return peak;
  };
  await pipe.generate(APPLE, { numInferenceSteps: 1, numImagesPerPrompt: 6 }); // compiles and fills small tables
  const [whole, two] = [await peakOf(), await peakOf(2)];
  assert.ok(two < whole / 2, `${two} of ${whole}`);
});

Deno.test("generate() stops between and within the parts of a batch, and frees what it took", async () => {
  device.arena.trim();
  const before = device.ledger.bytes;
  for (const last of [3, 4]) {
    const controller = new AbortController();
    let steps = 0;
    const onStep = ({ step }: { step: number }) => (steps = step) === last && controller.abort(new Error("enough"));
    await assert.rejects(latentsOf({ batchSize: 1, signal: controller.signal, onStep }), /enough/);
    assert.equal(steps, last);
    device.arena.trim();
    assert.equal(device.ledger.bytes, before);
  }
});

Deno.test("picturesAtOnce() fills one binding", async () => {
  const called = {
    ...pipe,
    components: pipe.components,
    vaeScaleFactor: 4,
    defaultSize: pipe.defaultSize,
    traits: { maxSequenceLength: 1, bins: () => undefined },
  };
  const at = (height: number, width: number, captions: number) => picturesAtOnce(called, { height, width }, captions);
  // 64 tokens of 192 numbers, four times as wide in the middle, two captions.
  const bytes = 64 * 192 * 4 * 4 * 2;
  const limit = device.limits.maxStorageBufferBindingSize;
  assert.equal(at(64, 64, 2), Math.floor(limit / bytes));
  assert.equal(at(64, 64, 3), Math.floor(limit * 2 / 3 / bytes));
  assert.equal(at(4096, 4096, 2), 1);
  using small = await openDevice({ limits: { maxStorageBufferBindingSize: 2 * bytes } });
  using other = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device: small, dtype: "f32" });
  const told = new Set<number>();
  const { output } = await other.generate(PROMPTS, {
    ...FEW,
    outputType: "latent",
    onStep: ({ steps }) => told.add(steps),
  });
  assert.deepEqual([...told], [6]);
  assert.ok(relativeL2(output!.data, await latentsOf({}, pipe)) < 1e-5);
});

Deno.test("encodePrompt() encodes many texts in runs that fit a binding, each in its place", async () => {
  using small = await openDevice({ limits: { maxStorageBufferBindingSize: 160_000 } });
  const load = { subfolder: "text_encoder", dtype: "f32" } as const;
  using textEncoder = await T5EncoderModel.fromPretrained(DEFAULT_MODEL, { device: small, ...load });
  const runs: number[] = [];
  const counted = new Proxy(textEncoder, {
    get(target, key) {
      const value = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (key === "encode") runs.push(args[2] as number);
        return value.apply(target, args);
      };
    },
  });
  const texts = Array.from({ length: 9 }, (_, i) => `${APPLE} ${"and a frog ".repeat(i)}`);
  const options = { doClassifierFreeGuidance: false, maxSequenceLength: 24 };
  const stage = { device: small, tokenizer: pipe.components.tokenizer, textEncoder: counted };
  using made = await encodePrompt(stage, texts, options);
  using expected = await pipe.encodePrompt(texts, options);
  assert.deepEqual(runs, [4, 4, 1]); // 24 tokens of three times 128 floats each
  assert.ok(relativeL2(await read(small, made.embeds), await read(device, expected.embeds)) < 1e-5);
  assert.deepEqual(made.mask, expected.mask);
});

/** Has the device refuse buffers once so many bytes are in use, as one that is full does. */
function withMemory(limit: number, ledger: Device["ledger"], gpu: GPUDevice): Disposable {
  const create = gpu.createBuffer.bind(gpu);
  gpu.createBuffer = (descriptor) => {
    if (ledger.bytes + descriptor.size > limit) throw new Error("out of memory");
    return create(descriptor);
  };
  return { [Symbol.dispose]: () => gpu.createBuffer = create };
}

Deno.test("generate() goes on with smaller parts where memory runs out, and fails where there is none for one", async () => {
  const options = { numImagesPerPrompt: 2, numInferenceSteps: 2 };
  const whole = await latentsOf(options);
  const { batch, rest } = await (async () => {
    device.arena.trim();
    device.ledger.resetPeak();
    const rest = device.ledger.bytes;
    await latentsOf(options);
    return { batch: device.ledger.peak - rest, rest };
  })();
  device.arena.trim();
  const told: [number, number][] = [];
  {
    using _full = withMemory(rest + batch * 0.6, device.ledger, device.gpu);
    const onStep = ({ step, steps }: { step: number; steps: number }) => told.push([step, steps]);
    assert.ok(relativeL2(await latentsOf({ ...options, onStep }), whole) < 1e-5);
  }
  assert.deepEqual(told.slice(-3), [[2, 4], [3, 4], [4, 4]]);
  device.arena.trim();
  assert.equal(device.ledger.bytes, rest);
  {
    using _full = withMemory(rest + 1000, device.ledger, device.gpu);
    await assert.rejects(latentsOf(options), OutOfMemoryError);
  }
  device.arena.trim();
  assert.equal(device.ledger.bytes, rest);
  assert.ok(relativeL2(await latentsOf(options), whole) < 1e-5);
});

Deno.test("samplesOf() and joined() cut and join along the batch", () => {
  const all = { data: Float32Array.from({ length: 12 }, (_, i) => i), shape: [3, 2, 2] };
  const part = samplesOf(all, { start: 1, count: 2, batch: 3 });
  assert.deepEqual([part.shape, [...(part as typeof all).data]], [[2, 2, 2], [4, 5, 6, 7, 8, 9, 10, 11]]);
  const first = samplesOf(all, { start: 0, count: 1, batch: 3 }) as typeof all;
  assert.deepEqual(joined([{ images: [], output: first }, { images: [], output: part as typeof all }]), all);
  assert.equal(joined([{ images: [] }]), undefined);
});
