// ControlNets in both layouts, and the steered transformer against the definition in plain loops.

import assert from "node:assert/strict";
import { PixArtControlNetAdapterModel } from "../../src/dit/controlnet.ts";
import { openControlNet } from "../../src/dit/open_controlnet.ts";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import { ShapeError, WeightsError } from "../../src/errors.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { controlNetOfBase } from "../../src/io/controlnet_names.ts";
import { asOriginal } from "../../src/io/original_names.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { readFloats, type WeightSource } from "../../src/io/weights.ts";
import { withZeros } from "../../src/io/zero_weights.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers, relativeL2 } from "../_reference.ts";
import { assertSameBytes, counting, golden, inMemory, renamed } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { readAllFloats } from "./_naive_transformer.ts";
import { base, baseWeights, expected, latentsOf, predict, SIZE } from "./_small_network.ts";

const { config } = base;
const COPIES = 2;
const C = base.width;

/** A ControlNet of a golden network: copies that were changed by up to `change`, and projections of which `size` is the largest number. */
async function controlTensors(
  size: number,
  copies = COPIES,
  change = 0.02,
  network = "dit-sigma",
): Promise<Record<string, TensorData>> {
  using source = await openSafetensors(golden(`${network}/diffusion_pytorch_model.safetensors`));
  const tensors: Record<string, TensorData> = {};
  for (const name of source.names()) {
    const [, block, rest] = /^transformer_blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
    if (block === undefined || Number(block) >= copies) continue;
    const data = await readFloats(source, name);
    const changes = numbers(data.length, data.length, change);
    const { shape } = source.info(name);
    tensors[`controlnet_blocks.${block}.transformer_block.${rest}`] = {
      dtype: "F32",
      shape,
      data: data.map((value, i) => value + changes[i]),
    };
  }
  const some = (count: number, seed: number) => size === 0 ? new Float32Array(count) : numbers(count, seed, size);
  const projection = (name: string, seed: number) => {
    tensors[`${name}.weight`] = { dtype: "F32", shape: [C, C], data: some(C * C, seed) };
    tensors[`${name}.bias`] = { dtype: "F32", shape: [C], data: some(C, seed + 1) };
  };
  projection("controlnet_blocks.0.before_proj", 11);
  for (let i = 0; i < copies; i++) projection(`controlnet_blocks.${i}.after_proj`, 21 + 2 * i);
  return tensors;
}

const tensors = await controlTensors(0.1);
const netOf = async (from: Record<string, TensorData>) => {
  using source = await inMemory(from);
  return await PixArtControlNetAdapterModel.fromWeights(device, config, source, { dtype: "f32" });
};
const condition = (sample: number) => latentsOf(100 + sample);
const steerBy = (net: PixArtControlNetAdapterModel, samples: number, scale: number) => (rec: Recorder) => {
  const data = Float32Array.from(Array.from({ length: samples }, (_, i) => [...condition(i)]).flat());
  const latents = rec.upload(data, [samples, config.inChannels, SIZE.height, SIZE.width]);
  return net.prepare(rec, base.embedLatents(rec, latents), scale);
};

Deno.test("PixArtTransformer2DModel.predict() is steered by a ControlNet as the paper defines it", async () => {
  using net = await netOf(tensors);
  using source = await inMemory(tensors);
  const control = { weights: await readAllFloats(source), copies: COPIES };
  const weights = await baseWeights();
  for (const [conditions, scale] of [[1, 1], [2, 0.6]]) {
    const answers = await predict(2, [7, 8], { control: steerBy(net, conditions, scale) });
    const size = answers.length / 4;
    [7, 8].forEach((caption, group) => {
      for (const sample of [0, 1]) {
        const wanted = expected(weights, sample, caption, {
          control: { ...control, condition: condition(conditions === 1 ? 0 : sample), scale },
        });
        const at = (group * 2 + sample) * size;
        assertClose(answers.subarray(at, at + size), wanted, 2e-5, `scale ${scale}, group ${group}, sample ${sample}`);
      }
    });
  }
});

Deno.test("PixArtTransformer2DModel.predict() is the base's bit for bit with projections of zeros or a scale of 0", async () => {
  const plain = await predict(1, [7, 8]);
  using net = await netOf(tensors);
  using zeros = await netOf(await controlTensors(0));
  assert.deepEqual(await predict(1, [7, 8], { control: steerBy(zeros, 1, 1) }), plain);
  assert.deepEqual(await predict(1, [7, 8], { control: steerBy(net, 1, 0) }), plain);
  assert.ok(relativeL2(await predict(1, [7, 8], { control: steerBy(net, 1, 1) }), plain) > 1e-2);
});

Deno.test("PixArtControlNetAdapterModel.fromTransformer() copies the base's first blocks and does not steer yet, offloaded or not", async () => {
  using source = await openSafetensors(golden("dit-sigma/diffusion_pytorch_model.safetensors"));
  using made = controlNetOfBase(source, COPIES, C);
  using expected = await inMemory(await controlTensors(0, COPIES, 0));
  await assertSameBytes(made, expected);
  const plain = await predict(1, [7, 8]);
  for (const offload of [false, true]) {
    using net = await PixArtControlNetAdapterModel.fromTransformer(base, { copies: COPIES, dtype: "f32", offload });
    assert.equal(net.isLoaded, !offload);
    await using _held = await net.use();
    assert.deepEqual(await predict(1, [7, 8], { control: steerBy(net, 1, 1) }), plain);
  }
  await assert.rejects(PixArtControlNetAdapterModel.fromTransformer(base), /must copy 1 to 2 blocks of its base: 13$/);
});

Deno.test("withZeros() reads zeros by range, and refuses what is outside", async () => {
  using source = withZeros(await inMemory({ x: counting([2]) }), new Map([["zeros", [3, 2]]]));
  assert.deepEqual(source.names(), ["x", "zeros"]);
  assert.deepEqual(source.info("zeros"), { name: "zeros", dtype: "F32", shape: [3, 2], byteLength: 24 });
  assert.deepEqual(await source.read("zeros", 4, 12, new Uint8Array(16).fill(7)), new Uint8Array(8));
  assert.deepEqual(await readFloats(source, "x"), Float32Array.of(0, 1));
  await assert.rejects(source.read("zeros", 20, 28), WeightsError);
});

Deno.test("PixArtControlNetAdapterModel steers a network with size conditions as diffusers' research project does", async () => {
  using alpha = await PixArtTransformer2DModel.fromPretrained(golden("dit-alpha-micro"), { device, dtype: "f32" });
  using source = await inMemory(await controlTensors(0.1, 1, 0, "dit-alpha-micro"));
  using net = await PixArtControlNetAdapterModel.fromWeights(device, alpha.config, source, { dtype: "f32" });
  const [B, L, h, w] = [2, 5, 6, 10], { inChannels, captionChannels } = alpha.config;
  const upload = (rec: Recorder, shape: number[], seed: number, scale: number) =>
    rec.upload(numbers(shape.reduce((product, extent) => product * extent), seed, scale), shape);
  const answer = await run((rec) => {
    const embeds = upload(rec, [B, L, captionChannels], 57, 2);
    const caption = alpha.encodeCaption(rec, embeds, [1, 1, 1, 0, 0, 1, 1, 1, 1, 1], net.blocks);
    const sizes = { resolution: [[512, 768], [1024, 1024]] as [number, number][], aspectRatio: [0.66, 1] };
    const times = alpha.encodeTimes(rec, [537, 12], sizes, net.blocks);
    const control = net.prepare(rec, alpha.embedLatents(rec, upload(rec, [B, inChannels, h, w], 100, 1.5)));
    return alpha.predict(rec, upload(rec, [B, inChannels, h, w], 31, 1.5), caption, times, { control });
  });
  using recorded = await openSafetensors(golden("controlnet/micro.safetensors"));
  const difference = relativeL2(answer, await readFloats(recorded, "micro"));
  assert.ok(difference < 1e-4, `${difference}`);
});

Deno.test("PixArtControlNetAdapterModel steers a perturbed run, too", async () => {
  using net = await netOf(tensors);
  using source = await inMemory(tensors);
  const control = { weights: await readAllFloats(source), copies: COPIES, condition: condition(0), scale: 1 };
  const perturbed = new Set([1]);
  const answers = await predict(1, [7, 7], { control: steerBy(net, 1, 1), perturbedBlocks: perturbed });
  const wanted = expected(await baseWeights(), 0, 7, { control, perturbed });
  assertClose(answers.subarray(answers.length / 2), wanted, 2e-5);
});

/** The same tensors as the original stores them, beside the base. */
async function originalOf(source: WeightSource): Promise<Record<string, TensorData>> {
  const stored: Record<string, TensorData> = {};
  const put = async (from: WeightSource, nameOf: (name: string) => string) => {
    for (const name of from.names()) {
      stored[nameOf(name)] = { dtype: "F32", shape: from.info(name).shape, data: await readFloats(from, name) };
    }
  };
  const copies = asOriginal(renamed(source, (name) => {
    return /_proj\.(weight|bias)$/.test(name)
      ? undefined
      : name.replace(/^controlnet_blocks\.(\d+)\.transformer_block\./, "transformer_blocks.$1.");
  }));
  await put(copies, (name) => name.replace(/^blocks\.(\d+)\./, "controlnet.$1.copied_block."));
  const projections = renamed(source, (name) => /(before|after)_proj\.\w+$/.test(name) ? name : undefined);
  await put(projections, (name) => name.replace("controlnet_blocks.", "controlnet."));
  using network = await openSafetensors(golden("dit-sigma/diffusion_pytorch_model.safetensors"));
  await put(asOriginal(network), (name) => `base_model.${name}`);
  return stored;
}

Deno.test("openControlNet() opens diffusers' folders and the original's files, with or without the base", async () => {
  using folder = temporaryFolder();
  using source = await inMemory(tensors);
  const inside = (name: string) => joinPath(folder.path, name);
  await Deno.writeTextFile(inside("config.json"), '{"_class_name": "PixArtControlNetAdapterModel", "num_layers": 2}');
  await Deno.writeFile(inside("diffusion_pytorch_model.safetensors"), encodeSafetensors(tensors));
  const original = await originalOf(source);
  assert.deepEqual(original["controlnet.1.copied_block.attn.qkv.weight"].shape, [3 * C, C]);
  const alone = Object.fromEntries(Object.entries(original).filter(([name]) => name.startsWith("controlnet.")));
  for (const [file, stored] of Object.entries({ "whole.pth": original, "alone.pth": alone })) {
    using weights = await inMemory(stored);
    await writeFileWhole(inside(file), {}, (output) => writeTorchFile(output, weights));
  }
  for (const address of [folder.path, inside("whole.pth"), inside("alone.pth")]) {
    using opened = await openControlNet(address);
    await assertSameBytes(opened, source);
  }
  using again = await PixArtTransformer2DModel.fromPretrained(inside("whole.pth"), {
    device,
    heads: 4,
    imageSize: 256,
    family: "alpha",
  });
  assert.deepEqual(again.config, config);
});

Deno.test("PixArtControlNetAdapterModel.fromPretrained() refuses what is no ControlNet of the base", async () => {
  using folder = temporaryFolder();
  const file = joinPath(folder.path, "net.safetensors");
  const refuses = async (stored: Record<string, TensorData>, message: RegExp) => {
    await Deno.writeFile(file, encodeSafetensors(stored));
    await assert.rejects(
      PixArtControlNetAdapterModel.fromPretrained(file, { device, config }),
      (error) => error instanceof WeightsError && message.test(error.message),
    );
  };
  const before = device.ledger.bytes;
  await refuses({ x: tensors["controlnet_blocks.0.after_proj.bias"] }, /must copy 1 to 2 blocks of its base: 0$/);
  await refuses(
    { ...tensors, "controlnet_blocks.2.after_proj.bias": tensors["controlnet_blocks.0.after_proj.bias"] },
    /must copy 1 to 2 blocks of its base: 3$/,
  );
  const { ["controlnet_blocks.1.after_proj.bias"]: _, ...missing } = tensors;
  await refuses(missing, /controlnet_blocks\.1\.after_proj\.bias/);
  const wide = { dtype: "F32" as const, shape: [C + 1], data: numbers(C + 1) };
  await refuses({ ...tensors, "controlnet_blocks.1.after_proj.bias": wide }, /is \[97\] and must be \[96\]/);
  assert.equal(device.ledger.bytes, before);
});

Deno.test("PixArtTransformer2DModel.predict() refuses a condition of another size", async () => {
  using net = await netOf(tensors);
  await assert.rejects(
    predict(1, [7, 8], { control: (rec) => net.prepare(rec, rec.upload(numbers(8 * C), [1, 8, C])) }),
    (error) => error instanceof ShapeError && /both must be of one size/.test(error.message),
  );
});
