import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { addLoraChoice, loraName } from "../../src/cli/loras.ts";
import { UsageError } from "../../src/errors.ts";
import { decodePng } from "../../src/io/image.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { numbers } from "../_reference.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart } from "./_cli.ts";

const PROMPT = "a red apple on a blue background";

Deno.test("addLoraChoice() reads a file and its scale, one after another", () => {
  const read: [string, string, number][] = [
    ["style.safetensors", "style.safetensors", 1],
    ["style.safetensors:0.8", "style.safetensors", 0.8],
    ["loras/cats:-1", "loras/cats", -1],
    ["a:b:.5", "a:b", 0.5],
    ["a:b", "a:b", 1],
    ["http://host:8080", "http://host:8080", 1],
    ["http://host:8080/a.safetensors:2", "http://host:8080/a.safetensors", 2],
  ];
  for (const [text, file, scale] of read) assert.deepEqual(addLoraChoice(text), [{ file, scale }], text);
  assert.deepEqual(addLoraChoice("b:2", addLoraChoice("a")), [{ file: "a", scale: 1 }, { file: "b", scale: 2 }]);
  assert.throws(() => addLoraChoice(""), UsageError);
});

Deno.test("loraName() takes the file's name, or the folder's where the file's says nothing", () => {
  const named: [string, string][] = [
    ["loras/water.v2.safetensors", "water.v2"],
    ["cats/pytorch_lora_weights.safetensors", "cats"],
    ["./cats/", "cats"],
    ["adapter_model.safetensors", "adapter_model"],
    ["https://host/x/style.safetensors?download=1", "style"],
  ];
  for (const [file, name] of named) assert.equal(loraName(file), name, file);
});

/** A LoRA for the embedded model. */
function writeLora(path: string, seed: number): string {
  const tensor = (shape: number[], seed: number) => {
    return { dtype: "F32" as const, shape, data: numbers(shape[0] * shape[1], seed, 0.05) };
  };
  Deno.writeFileSync(
    path,
    encodeSafetensors({
      "transformer.proj_out.lora_A.weight": tensor([4, 192], seed),
      "transformer.proj_out.lora_B.weight": tensor([32, 4], seed + 1),
      "text_encoder.x.lora_A.weight": tensor([1, 1], 1),
    }),
  );
  return path;
}

Deno.test("generate() paints with LoRAs at their scales, and says so in the report and the picture", async () => {
  using folder = temporaryFolder();
  const [one, two] = ["one", "two"].map((name, i) => writeLora(join(folder.path, `${name}.safetensors`), 10 * i + 3));
  const paint = async (name: string, ...loras: string[]) => {
    const args = ["generate", PROMPT, "--seed", "5", "--steps", "2", "--json", "--out", join(folder.path, name)];
    const { code, stdout, stderr } = await pixart([...args, ...loras.flatMap((lora) => ["--lora", lora])]);
    assert.equal(code, 0, stderr);
    const report = JSON.parse(stdout);
    return { report, picture: decodePng(Deno.readFileSync(report.images[0])) };
  };
  const { report, picture } = await paint("both.png", `${one}:0.8`, two);
  assert.deepEqual(report.loras, [{ name: "one", file: one, scale: 0.8 }, { name: "two", file: two, scale: 1 }]);
  assert.equal(picture.metadata.lora, "one:0.8, two:1");
  assert.equal(report.warnings.length, 2);
  assert.match(report.warnings[0], /the LoRA one also changes a text encoder.*: 1 tensors ignored/);
  const none = await paint("none.png", `${one}:0`, `${one}:0`);
  assert.notDeepEqual(picture.pixels, none.picture.pixels);
  assert.deepEqual(none.report.loras.map(({ name }: { name: string }) => name), ["one", "one-2"]);
});

Deno.test("generate() exits 2 for a LoRA that is not there, and 1 for one of another model", async () => {
  using folder = temporaryFolder();
  const args = ["generate", PROMPT, "--steps", "1", "--out", folder.path, "--lora"];
  const missing = await pixart([...args, join(folder.path, "none.safetensors:0.5")]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /Cannot use the LoRA .*none\.safetensors as .*: nothing is there$/m);
  const wrong = join(folder.path, "wrong.safetensors");
  const w = { dtype: "F32" as const, shape: [1, 1], data: numbers(1) };
  Deno.writeFileSync(wrong, encodeSafetensors({ "unet.down_blocks.0.to_q.lora_A.weight": w }));
  const { code, stderr } = await pixart([...args, wrong]);
  assert.equal(code, 1);
  assert.match(
    linesOf(stderr).at(-1)!,
    /must be modules of this model: 1 are not: unet\.down_blocks\.0\.to_q\.lora_A\.weight$/,
  );
  assert.deepEqual(Array.from(Deno.readDirSync(folder.path), ({ name }) => name), [basename(wrong)]);
});
