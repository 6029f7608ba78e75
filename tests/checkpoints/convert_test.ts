// Conversions there and back. In: golden networks. Out: the same tensors, the same configs, the same bytes every time.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { castWeights } from "../../src/io/cast_weights.ts";
import { readFloats } from "../../src/io/weights.ts";
import { convertModel } from "../../src/checkpoints/convert.ts";
import { mergeModels } from "../../src/checkpoints/merge.ts";
import { openModel } from "../../src/checkpoints/open_model.ts";
import type { TransformerConfig } from "../../src/dit/config.ts";
import { transformerConfigJson } from "../../src/dit/config_json.ts";
import { openGguf } from "../../src/io/gguf.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { writeSafetensors } from "../../src/io/safetensors_writer.ts";
import { asDiffusers, asOriginal } from "../../src/io/original_names.ts";
import { writeModel } from "../../src/checkpoints/write_model.ts";
import { assertSameBytes, counting, equal, golden, inMemory } from "../_weights.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";

async function assertSameModel(a: string, b: string, dtype?: "F16" | "BF16"): Promise<void> {
  using one = await openModel(a);
  using other = await openModel(b);
  assert.equal(one.kind, other.kind);
  assert.deepEqual(one.transformer, other.transformer);
  await assertSameBytes(one.source, dtype ? castWeights(other.source, () => dtype) : other.source);
}

Deno.test("convertModel() keeps a transformer through .pth, .safetensors, GGUF and folders", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  for (const name of ["dit-sigma", "dit-alpha-micro"]) {
    let last = golden(name);
    for (const out of ["a.pth", "b", "c.safetensors", "d.gguf", "e.pth", "f"].map((file) => inside(name + file))) {
      await convertModel(last, out);
      last = out;
    }
    await assertSameModel(last, golden(name));
    const [first, later] = [await Deno.readFile(inside(`${name}a.pth`)), await Deno.readFile(inside(`${name}e.pth`))];
    assert.ok(equal(first, later), "the same tensors are other bytes");
  }
});

Deno.test("convertModel() keeps KV compression and normalised queries both ways", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  using base = await openModel(golden("dit-sigma"));
  const additions = Object.fromEntries(
    ["q_norm.weight", "q_norm.bias", "k_norm.weight", "k_norm.bias"].flatMap((part) =>
      [0, 1, 2].map((i) => [`transformer_blocks.${i}.attn1.${part}`, counting([96], i)])
    ),
  );
  using more = await inMemory({ ...additions, "transformer_blocks.2.attn1.sr.weight": counting([96, 1, 2, 2]) });
  const names = [...base.source.names(), ...more.names()];
  const source = { ...proxied(base.source, more), names: () => names.toSorted() };
  const transformer: TransformerConfig = {
    ...base.transformer!,
    qkNorm: true,
    kvCompression: { sampling: "conv", scaleFactor: 2, layers: [2] },
  };
  const model = { kind: "transformer" as const, json: transformerConfigJson(transformer), transformer, source };
  await writeModel(inside("a"), model, { format: "diffusers" });
  await convertModel(inside("a"), inside("b.pth"));
  await convertModel(inside("b.pth"), inside("c"));
  await assertSameModel(inside("c"), inside("a"));
  using back = await openModel(inside("c"));
  assert.deepEqual(back.transformer, transformer);
  await assertSameBytes(asDiffusers(asOriginal(back.source)), back.source);
});

/** Two checkpoints as one. */
function proxied(a: Awaited<ReturnType<typeof inMemory>>, b: typeof a): typeof a {
  const of = (name: string) => a.has(name) ? a : b;
  return {
    name: a.name,
    metadata: {},
    names: () => [...a.names(), ...b.names()],
    has: (name) => a.has(name) || b.has(name),
    info: (name) => of(name).info(name),
    read: (name, ...range) => of(name).read(name, ...range),
    [Symbol.dispose]() {},
  };
}

Deno.test("convertModel() changes dtypes, and GGUF keeps in floats what is small or around the blocks", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  await convertModel(golden("dit-sigma"), inside("half"), { dtype: "F16" });
  await assertSameModel(inside("half"), golden("dit-sigma"), "F16");
  await convertModel(golden("dit-sigma"), inside("q.gguf"), { dtype: "Q8_0" });
  using stored = await openGguf(inside("q.gguf"));
  const weight = "transformer_blocks.1.ff.net.2.weight";
  assert.equal(stored.info(weight).dtype, "Q8_0");
  for (const name of ["pos_embed.proj", "proj_out", "caption_projection.linear_1", "adaln_single.linear"]) {
    assert.equal(stored.info(`${name}.weight`).dtype, "F16", name);
  }
  assert.equal(stored.info("scale_shift_table").dtype, "F32");
  using exact = await openModel(golden("dit-sigma"));
  const [ours, theirs] = [await readFloats(stored, weight), await readFloats(exact.source, weight)];
  const norm = (values: Float32Array) => Math.hypot(...values);
  assert.ok(norm(ours.map((value, i) => value - theirs[i])) < 0.01 * norm(theirs));
  await assert.rejects(convertModel(golden("dit-sigma"), inside("q"), { dtype: "Q8_0" }), /only GGUF has blocks/);
  await assert.rejects(convertModel(golden("vae"), inside("vae.gguf")), UsageError);
});

Deno.test("convertModel() writes a whole pipeline, and converts one", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  const parts = { vae: golden("vae"), textEncoder: golden("t5"), tokenizer: golden("tokenizer") };
  await convertModel(golden("dit-sigma"), inside("a.pth"));
  const written = await convertModel(inside("a.pth"), inside("pipe"), parts);
  assert.deepEqual(written.map(({ kind }) => kind), ["transformer", "vae", "text_encoder"]);
  const files = ["model_index.json", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"];
  assert.deepEqual(namesIn(inside("pipe")), files);
  const index = JSON.parse(await Deno.readTextFile(inside("pipe/model_index.json")));
  assert.equal(index._class_name, "PixArtSigmaPipeline");
  assert.deepEqual(index.scheduler, ["diffusers", "DPMSolverMultistepScheduler"]);
  assert.deepEqual(index.text_encoder, ["transformers", "T5EncoderModel"]);
  await convertModel(inside("pipe"), inside("half"), { dtype: "F16", family: "alpha" });
  assert.deepEqual(namesIn(inside("half")), files);
  await assertSameModel(inside("half/text_encoder"), golden("t5"), "F16");
  const config = JSON.parse(await Deno.readTextFile(inside("half/text_encoder/config.json")));
  assert.deepEqual([config.torch_dtype, config.dtype], ["float16", undefined]);
  assert.match(await Deno.readTextFile(inside("half/text_encoder/config.json")), /"initializer_factor": 1\.0,/);
  await convertModel(golden("t5"), inside("alone.gguf"));
  const lonely = convertModel(golden("dit-sigma"), inside("none"), { textEncoder: inside("alone.gguf") });
  await assert.rejects(lonely, /none is found with it; give --tokenizer/);
  await convertModel(golden("dit-alpha-micro"), inside("alpha"), parts);
  assert.match(await Deno.readTextFile(inside("alpha/model_index.json")), /PixArtAlphaPipeline/);
});

Deno.test("convertModel() fuses LoRAs in", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  const [up, down] = [counting([32, 1], 1), counting([1, 96], 1)];
  using lora = await inMemory({ "transformer.proj_out.lora_A.weight": down, "transformer.proj_out.lora_B.weight": up });
  await writeFileWhole(inside("lora.safetensors"), {}, (file) => writeSafetensors(file, lora));
  const loras = [{ file: inside("lora.safetensors"), scale: 0.5 }];
  await convertModel(golden("dit-sigma"), inside("fused"), { loras });
  using base = await openModel(golden("dit-sigma"));
  using fused = await openModel(inside("fused"));
  const [before, after] = [
    await readFloats(base.source, "proj_out.weight"),
    await readFloats(fused.source, "proj_out.weight"),
  ];
  // Rank 1 and alpha 8, which is PEFT's default.
  after.forEach((value, i) => {
    const added = 0.5 * 8 * (Math.floor(i / 96) + 1) * (i % 96 + 1);
    assert.ok(Math.abs(value - before[i] - added) < 1e-2);
  });
  assert.deepEqual(await fused.source.read("proj_out.bias"), await base.source.read("proj_out.bias"));
  await assert.rejects(
    convertModel(golden("vae"), inside("vae"), { loras }),
    /must be a transformer: it is AutoencoderKL/,
  );
});

Deno.test("mergeModels() mixes two transformers of different layouts", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  await convertModel(golden("dit-sigma"), inside("half.pth"), { dtype: "F16" });
  await mergeModels(golden("dit-sigma"), inside("half.pth"), 0, inside("first"));
  await assertSameModel(inside("first"), golden("dit-sigma"));
  await mergeModels(inside("half.pth"), golden("dit-sigma"), 0.5, inside("middle"));
  using middle = await openModel(inside("middle"));
  assert.equal(middle.source.info("proj_out.weight").dtype, "F16");
  await assert.rejects(
    mergeModels(golden("dit-sigma"), golden("dit-alpha-micro"), 0.5, inside("no")),
    /same names and shapes/,
  );
  await assert.rejects(mergeModels(golden("dit-sigma"), golden("dit-sigma"), 2, inside("no")), /from 0 to 1: 2/);
});

Deno.test("convertModel() refuses to write over what stands beside a torch file, before any work", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  await Deno.writeTextFile(inside("a.json"), "mine");
  await assert.rejects(convertModel(golden("dit-sigma"), inside("a.pth")), /a\.json as nothing is overwritten/);
  assert.deepEqual(namesIn(folder.path), ["a.json"]);
  await convertModel(golden("dit-sigma"), inside("a.pth"), { overwrite: true });
  // In place, from a file that is open while the new one is written.
  await convertModel(inside("a.pth"), inside("a.pth"), { overwrite: true, dtype: "BF16" });
  await assertSameModel(inside("a.pth"), golden("dit-sigma"), "BF16");
});

Deno.test("openModel() goes by the tensors of a file, not by its neighbour's config", async () => {
  using folder = temporaryFolder();
  const inside = (name: string) => joinPath(folder.path, name);
  await Deno.copyFile(golden("t5/model.safetensors"), inside("t5.safetensors"));
  await Deno.copyFile(golden("vae/config.json"), inside("config.json"));
  using model = await openModel(inside("t5.safetensors"));
  assert.deepEqual([model.kind, model.isGuessed], ["text_encoder", true]);
  await assert.rejects(openModel(golden("numpy/arrays.npz")), /must be a network's that is known/);
});
