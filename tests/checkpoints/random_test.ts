import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { castWeights } from "../../src/io/cast_weights.ts";
import { readFloats } from "../../src/io/weights.ts";
import { openModel } from "../../src/checkpoints/open_model.ts";
import { makeRandom } from "../../src/checkpoints/make_random.ts";
import { autoencoderTensors, t5Tensors, transformerTensors } from "../../src/checkpoints/random_tensors.ts";
import { type RandomTensor, RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { REAL_MODELS, realModel, realPipeline } from "../../src/checkpoints/real_models.ts";
import { CounterNoise } from "../../src/random/counter_noise.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { parseAutoencoderConfig } from "../../src/vae/config.ts";
import { assertSameBytes, equal, golden } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const shapes = (tensors: readonly RandomTensor[]) =>
  Object.fromEntries(tensors.map(({ name, shape }) => [name, shape.join()]).sort());

Deno.test("the lists of tensors are those of the golden networks", async () => {
  for (const name of ["dit-sigma", "dit-alpha-micro", "t5", "vae"]) {
    using model = await openModel(golden(name));
    const { kind, json, source, transformer } = model;
    const tensors = kind === "transformer"
      ? transformerTensors(transformer!)
      : kind === "vae"
      ? autoencoderTensors(parseAutoencoderConfig(json))
      : t5Tensors(parseT5Config(json));
    const expected = source.names().map((name) => [name, source.info(name).shape.join()]);
    assert.deepEqual(shapes(tensors), Object.fromEntries(expected), name);
  }
});

Deno.test("realModel() knows the released networks by their true sizes", () => {
  const count = (name: string) =>
    realModel(name).tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  assert.equal(count("sigma-1024"), 610_856_096);
  assert.equal(count("alpha-1024") > count("alpha-512"), true);
  assert.equal(count("t5-xxl"), 4_762_310_656);
  assert.equal(count("sdxl-vae"), 83_653_863);
  assert.equal(realModel("sigma-1024-kvcompress").transformer?.kvCompression?.layers.length, 14);
  for (const name of REAL_MODELS) assert.ok(realModel(name).tensors.length > 0);
  assert.deepEqual(realPipeline("alpha-512").models.map(({ name }) => name), ["alpha-512", "t5-xxl", "sd-vae"]);
  assert.throws(() => realModel("sigma-8k"), UsageError);
  assert.throws(() => realPipeline("t5-xxl"), UsageError);
});

const TENSORS: RandomTensor[] = [
  { name: "normal", shape: [300, 100], spread: { kind: "normal", scale: 0.5 } },
  { name: "uniform", shape: [30001], spread: { kind: "uniform", scale: 0.2 } },
  { name: "ones", shape: [3], spread: { kind: "constant", scale: 1 } },
];

Deno.test("RandomWeights has the spread asked for, and other numbers for other names and seeds", async () => {
  const weights = new RandomWeights("random", TENSORS, 0, "F32");
  const moments = async (name: string) => {
    const values = await readFloats(weights, name);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return {
      mean,
      deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length),
      values,
    };
  };
  const normal = await moments("normal");
  assert.ok(Math.abs(normal.mean) < 0.01 && Math.abs(normal.deviation - 0.5) < 0.01, JSON.stringify(normal.deviation));
  const uniform = await moments("uniform");
  assert.ok(Math.abs(uniform.mean) < 0.003 && Math.abs(uniform.deviation - 0.2 / Math.sqrt(3)) < 0.002);
  assert.ok(uniform.values.every((value) => Math.abs(value) < 0.2));
  assert.deepEqual([...await readFloats(weights, "ones")], [1, 1, 1]);
  // Neighbours, and the same places of another stream, have nothing to do with each other.
  const correlation = (a: Float32Array, b: Float32Array) =>
    a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0) / (0.25 * a.length);
  assert.ok(Math.abs(correlation(normal.values, normal.values.subarray(1))) < 0.03);
  const other = await readFloats(new RandomWeights("random", TENSORS, 1, "F32"), "normal");
  assert.ok(Math.abs(correlation(normal.values, other)) < 0.03);
});

Deno.test("RandomWeights gives the same numbers in every dtype and by every range", async () => {
  const f32 = new RandomWeights("random", TENSORS, 7, "F32");
  for (const dtype of ["F16", "BF16"] as const) {
    const weights = new RandomWeights("random", TENSORS, 7, dtype);
    await assertSameBytes(weights, castWeights(f32, () => dtype));
    const whole = await weights.read("uniform");
    for (const [start, end] of [[0, 2], [3, 77], [60000, 60002], [9, 9]]) {
      assert.ok(equal(await weights.read("uniform", start, end, new Uint8Array(200)), whole.subarray(start, end)));
    }
  }
});

Deno.test("CounterNoise fills by place", () => {
  const noise = new CounterNoise(3, "w");
  const all = new Uint32Array(100), part = new Uint32Array(10);
  noise.fill(0, all);
  noise.fill(42, part);
  assert.deepEqual(part, all.slice(42, 52));
  assert.equal(new Set(all).size, 100);
});

Deno.test("makeRandom() writes a network of the pipeline with the numbers of its seed", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  const options = { component: "vae" as const, dtype: "F16" as const, seed: 5 };
  const [written] = await makeRandom("sigma-512", inside("a"), options);
  assert.deepEqual([written.kind, written.bytes], ["vae", 2 * 83_653_863]);
  using model = await openModel(inside("a"));
  assert.deepEqual([model.kind, model.json.scaling_factor], ["vae", 0.13025]);
  const expected = new RandomWeights("the same", realModel("sdxl-vae").tensors, 5, "F16");
  for (const name of ["decoder.conv_in.weight", "encoder.conv_out.bias", "quant_conv.weight"]) {
    assert.ok(equal(await model.source.read(name), await expected.read(name)), name);
  }
  await assert.rejects(makeRandom("sigma-512", inside("c.pth"), { component: "pipeline" }), /must be a folder/);
});
