// Transformers in every layout, with and without a config. Networks are not run: the same config and the same tensors are the same.

import assert from "node:assert/strict";
import { ConfigError, WeightsError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { castWeights } from "../../src/io/cast_weights.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { asOriginal } from "../../src/io/original_names.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/safetensors_writer.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import type { WeightSource } from "../../src/io/weights.ts";
import { parseOriginalConfig, parseTransformerConfig, type TransformerConfig } from "../../src/dit/config.ts";
import { originalConfigJson, transformerConfigJson } from "../../src/dit/config_json.ts";
import { guessTransformerConfig, type TransformerHints } from "../../src/dit/guess_config.ts";
import { openTransformer, type OpenTransformerOptions } from "../../src/dit/open_transformer.ts";
import { positionEmbedding } from "../../src/dit/position_embedding.ts";
import { assertSameBytes, counting, golden, inMemory, renamed } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const WEIGHTS = "diffusion_pytorch_model.safetensors";
const open = () => openSafetensors(golden(`dit-sigma/${WEIGHTS}`));
const CONFIG = parseTransformerConfig(JSON.parse(Deno.readTextFileSync(golden("dit-sigma/config.json"))));

async function opens(address: string, options: OpenTransformerOptions = {}, expected: TransformerConfig = CONFIG) {
  const { config, source } = await openTransformer(address, options);
  using _source = source;
  assert.deepEqual(config, expected);
  using reference = await open();
  await assertSameBytes(source, reference);
}

Deno.test("openTransformer() opens diffusers' folders under every name of class and file", async () => {
  using folder = temporaryFolder();
  const config = JSON.parse(await Deno.readTextFile(golden("dit-sigma/config.json")));
  const inside = (name: string) => joinPath(folder.path, name);
  await Deno.writeTextFile(inside("config.json"), JSON.stringify({ ...config, _class_name: "Transformer2DModel" }));
  await Deno.copyFile(golden(`dit-sigma/${WEIGHTS}`), inside("diffusion_pytorch_model.fp16.safetensors"));
  await opens(folder.path);
  await opens(folder.path, { variant: "fp16" });
  await assert.rejects(openTransformer(folder.path, { variant: "bf16" }), WeightsError);
  await Deno.rename(inside("diffusion_pytorch_model.fp16.safetensors"), inside("anything.safetensors"));
  await opens(folder.path);
  await opens(inside("anything.safetensors"));
  await Deno.copyFile(inside("anything.safetensors"), inside("another.safetensors"));
  await assert.rejects(openTransformer(folder.path), /one file must be them: it has another.*anything/);
  await Deno.mkdir(inside("pipeline/transformer"), { recursive: true });
  await Deno.writeTextFile(inside("pipeline/model_index.json"), "{}");
  await Deno.rename(inside("anything.safetensors"), inside(`pipeline/transformer/${WEIGHTS}`));
  await Deno.rename(inside("config.json"), inside("pipeline/transformer/config.json"));
  await opens(inside("pipeline"));
  await opens(inside("pipeline"), { subfolder: "transformer" });
});

Deno.test("openTransformer() opens single files in either naming, with a prefix, and as GGUF", async () => {
  using folder = temporaryFolder();
  using source = await open();
  const write = (name: string, work: Parameters<typeof writeFileWhole>[2]) =>
    writeFileWhole(joinPath(folder.path, name), {}, work);
  await write("a.pth", (file) => writeTorchFile(file, asOriginal(source)));
  await Deno.writeTextFile(joinPath(folder.path, "a.json"), JSON.stringify(originalConfigJson(CONFIG)));
  await opens(joinPath(folder.path, "a.pth"));
  const config = JSON.stringify(transformerConfigJson(CONFIG));
  const prefixed = renamed(asOriginal(source), (name) => `model.diffusion_model.${name}`);
  await write("b.safetensors", (file) => writeSafetensors(file, prefixed, { metadata: { config } }));
  await opens(joinPath(folder.path, "b.safetensors"));
  await write("c.gguf", (file) => writeGguf(file, source, { config }));
  await opens(joinPath(folder.path, "c.gguf"));
  const blocks = castWeights(source, ({ shape, dtype }) => shape.length === 2 && shape[1] % 32 === 0 ? "Q8_0" : dtype);
  await write("d.gguf", (file) => writeGguf(file, blocks, { config }));
  const { source: kept } = await openTransformer(joinPath(folder.path, "d.gguf"));
  const stored = new Set(kept.names().map((name) => kept.info(name).dtype));
  assert.deepEqual([...stored].sort(), ["F32", "Q8_0"]);
  kept[Symbol.dispose]();
});

Deno.test("openTransformer() takes no neighbour's config for a file", async () => {
  using folder = temporaryFolder();
  const path = joinPath(folder.path, WEIGHTS);
  await Deno.copyFile(golden(`dit-sigma/${WEIGHTS}`), path);
  await Deno.writeTextFile(joinPath(folder.path, "config.json"), '{"_class_name": "AutoencoderKL"}');
  await opens(path, { imageSize: 256, heads: 4, family: "alpha" });
});

const KINDS: Partial<TransformerConfig>[] = [
  {},
  { useAdditionalConditions: true },
  { qkNorm: true, kvCompression: { sampling: "uniform_every", scaleFactor: 2, layers: [0, 2] } },
  { outChannels: 4, interpolationScale: 0.5, attentionBias: true, sampleSize: 16 },
];

Deno.test("transformerConfigJson() and originalConfigJson() keep every option", () => {
  for (const kind of KINDS) {
    const config = { ...CONFIG, ...kind };
    const through = (json: unknown) => JSON.parse(JSON.stringify(json));
    assert.deepEqual(parseTransformerConfig(through(transformerConfigJson(config))), config);
    assert.deepEqual(parseOriginalConfig(through(originalConfigJson(config))), config);
  }
});

/** The golden network with more tensors, or others in place of its own. */
async function changed(more: Parameters<typeof inMemory>[0]): Promise<WeightSource> {
  using source = await open();
  const tensors: Parameters<typeof inMemory>[0] = {};
  for (const name of source.names()) {
    tensors[name] = { ...source.info(name), dtype: "F32", data: await source.read(name) };
  }
  return await inMemory({ ...tensors, ...more });
}

const guess = async (source: WeightSource, hints: TransformerHints = {}) => {
  using _source = source;
  return await guessTransformerConfig(source, hints);
};

Deno.test("guessTransformerConfig() reads extents from the tensors", async () => {
  assert.deepEqual(await guess(await open(), { heads: 4, imageSize: 256, family: "alpha" }), CONFIG);
  const micro = await guess(await openSafetensors(golden(`dit-alpha-micro/${WEIGHTS}`)), { heads: 4 });
  const { useAdditionalConditions, sampleSize, interpolationScale } = micro;
  assert.deepEqual({ useAdditionalConditions, sampleSize, interpolationScale }, {
    useAdditionalConditions: true,
    sampleSize: 128,
    interpolationScale: 2,
  });
  const added = await guess(
    await changed({
      "transformer_blocks.0.attn1.q_norm.weight": counting([96]),
      "transformer_blocks.1.attn1.sr.weight": counting([96, 1, 2, 2]),
      "transformer_blocks.2.attn1.sr.weight": counting([96, 1, 2, 2]),
    }),
    { heads: 4, imageSize: 512 },
  );
  assert.equal(added.qkNorm, true);
  assert.deepEqual(added.kvCompression, { sampling: "conv", scaleFactor: 2, layers: [1, 2] });
});

Deno.test("guessTransformerConfig() asks by an option for what no tensor tells", async () => {
  const asks = async (hints: TransformerHints, option: RegExp) => {
    await assert.rejects(
      guess(await open(), hints),
      (error) => error instanceof ConfigError && option.test(error.message),
    );
  };
  await asks({}, /width 96 is not a multiple of 72; give --heads$/);
  await asks({ heads: 4 }, /256, 512, 1024 and 2048 pixels look alike; give --image-size$/);
  await asks({ heads: 4, imageSize: 256 }, /divided by 1 in α and by 0\.5 in Σ; give --family/);
  const scales = async (hints: TransformerHints, more = {}) => {
    const { sampleSize, interpolationScale } = await guess(await changed(more), { heads: 4, ...hints });
    return [sampleSize, interpolationScale];
  };
  assert.deepEqual(await scales({ imageSize: 2048 }), [256, 4]);
  assert.deepEqual(await scales({ imageSize: 1024 }), [128, 2]);
  assert.deepEqual(await scales({ imageSize: 256, family: "sigma" }), [32, 0.5]);
  assert.deepEqual(await scales({ imageSize: 256 }, { "y_embedder.y_embedding": counting([300, 32]) }), [32, 0.5]);
  assert.deepEqual(await scales({ imageSize: 256 }, { "y_embedder.y_embedding": counting([120, 32]) }), [32, 1]);
});

Deno.test("guessTransformerConfig() reads grid and interpolation from the position embedding", async () => {
  for (const interpolationScale of [0.5, 1, 2, 4]) {
    for (const sampleSize of [32, 64]) {
      const side = sampleSize / 2;
      const config = { ...CONFIG, sampleSize, interpolationScale };
      const data = new Float32Array(positionEmbedding(side, side, 96, side, interpolationScale));
      const source = await changed({ "pos_embed.pos_embed": { dtype: "F32", shape: [1, side * side, 96], data } });
      assert.deepEqual(await guess(source, { heads: 4 }), config);
    }
  }
});
