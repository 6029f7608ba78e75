import assert from "node:assert/strict";
import { join } from "node:path";
import { decodePng } from "../../src/io/image.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";
import { pixart, ROOT } from "./_cli.ts";

const bytesOf = (...path: string[]) => Deno.readFileSync(join(...path));

Deno.test("generate() makes the pictures of a batch file, leaves out what is there, and fails for one line alone", async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "prompts.txt"), out = join(folder.path, "out"), grid = join(folder.path, "sheet.png");
  const lines = [
    "# a comment",
    "a red apple --seed 1",
    "a panda --hw 40:52 --seed 2 --no-binning",
    '{"prompt": "a fish", "aspectRatio": "1:2", "seed": 3, "steps": 1}',
  ];
  Deno.writeTextFileSync(file, lines.join("\n"));
  const words = ["generate", "--batch", file, "--out", out, "--steps", "2", "--json"];
  const first = await pixart([...words, "--grid", grid]);
  assert.equal(first.code, 1, first.stderr);
  const report = JSON.parse(first.stdout);
  const names = ["2-a-red-apple.png", "4-a-fish.png"];
  assert.deepEqual(namesIn(out), names);
  assert.deepEqual(report.pictures.map(({ line, images }: { line: number; images: string[] }) => [line, images]), [
    [2, [join(out, names[0])]],
    [4, [join(out, names[1])]],
  ]);
  assert.deepEqual(report.failed.map(({ line, kind }: { line: number; kind: string }) => [line, kind]), [[
    3,
    "UsageError",
  ]]);
  assert.match(first.stderr, /line 3: Cannot generate an image 52x40 .*multiples/);
  // Height is half the width, of about the area of 64 x 64.
  const fish = decodePng(bytesOf(out, names[1]));
  assert.deepEqual([fish.height, fish.width], [48, 88]);
  assert.equal(fish.metadata.num_inference_steps, "1");
  const sheet = decodePng(bytesOf(grid));
  assert.ok(sheet.width > 88 && sheet.height > 64);

  Deno.writeTextFileSync(file, lines.toSpliced(2, 1, "a panda --seed 2").join("\n"));
  const apple = bytesOf(out, names[0]);
  Deno.removeSync(join(out, names[1]));
  const second = await pixart(words);
  assert.equal(second.code, 0, second.stderr);
  assert.deepEqual(JSON.parse(second.stdout).skipped, [join(out, names[0])]);
  assert.deepEqual(namesIn(out), [names[0], "3-a-panda.png", names[1]]);
  assert.deepEqual(bytesOf(out, names[0]), apple);
  assert.deepEqual(decodePng(bytesOf(out, names[1])).pixels, fish.pixels);
});

Deno.test("generate() refuses a batch whose pictures would have one name, before any work", async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "prompts.txt");
  Deno.writeTextFileSync(file, "a cat --seed 1\na dog\na cat --seed 2\n");
  const words = ["generate", "--batch", file, "--out", folder.path, "--name", "{prompt[:100]}"];
  const { code, stderr } = await pixart(words);
  assert.equal(code, 2);
  assert.match(stderr, /names must differ: lines 1 and 3 are both .*a cat\.png/);
  assert.deepEqual(namesIn(folder.path), ["prompts.txt"]);
});

Deno.test("generate() makes a picture again from what it says of itself, or another by what is said anew", async () => {
  using folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const words = [
    "a fish",
    "--seed",
    "5",
    "--num-images",
    "2",
    "--steps",
    "2",
    "--guidance",
    "2",
    "--scheduler",
    "euler-a",
  ];
  const made = await pixart(["generate", ...words, "--ar", "3:4", "--dtype", "f32", "--out", at("fish.png")]);
  assert.equal(made.code, 0, made.stderr);
  const again = await pixart(["generate", "--like", at("fish-2.png"), "--out", at("again.png")]);
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(bytesOf(at("again.png")), bytesOf(at("fish-2.png")));
  const other = await pixart([
    "generate",
    "a panda",
    "--like",
    at("fish-2.png"),
    "--seed",
    "6",
    "--out",
    at("panda.png"),
  ]);
  assert.equal(other.code, 0, other.stderr);
  assert.deepEqual(namesIn(folder.path), ["again.png", "fish-1.png", "fish-2.png", "panda.png"]);
  const { metadata } = decodePng(bytesOf(at("panda.png")));
  const { seed, prompt, scheduler, dtype, width, height, batch_size } = metadata;
  assert.deepEqual(
    { seed, prompt, scheduler, dtype, width, height, batch_size },
    {
      ...{ seed: "6", prompt: "a panda", scheduler: "euler-a", dtype: "f32" },
      width: "72",
      height: "56",
      batch_size: undefined,
    },
  );
});

Deno.test("generate() says what a picture lacks that it should make again", async () => {
  using folder = temporaryFolder();
  const { code, stderr } = await pixart(["generate", "--like", join(ROOT, "docs/red-apple.svg"), "--out", folder.path]);
  assert.equal(code, 2);
  assert.match(stderr, /docs\/red-apple\.svg/);
  const picture = join(ROOT, "tests/golden/pictures/source.png");
  const plain = await pixart(["generate", "--like", picture, "--out", `${folder.path}/`]);
  assert.equal(plain.code, 2);
  assert.match(plain.stderr, /Cannot make .*pictures\/source\.png again as it must say how it was made/);
  const both = await pixart(["generate", "a cat", "--batch", "x.txt"]);
  assert.equal(both.code, 2);
  assert.match(both.stderr, /one thing must say what is painted: a prompt and --batch do/);
  assert.deepEqual(namesIn(folder.path), []);
});

Deno.test("generate() starts from a picture, shows itself on the way, and is made again from that picture only", async () => {
  using folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const source = ["--image", join(ROOT, "tests/golden/pictures/source.png"), "--hw", "64:64"];
  const words = [
    "--steps",
    "4",
    "--strength",
    "0.5",
    "--seed",
    "1",
    "--pag-scale",
    "2",
    "--pag-layers",
    "blocks.2",
    "--pag-adaptive-scale",
    "0.001",
  ];
  const made = await pixart([
    "generate",
    "a fish",
    ...source,
    ...words,
    "--out",
    at("a.png"),
    "--preview",
    at("p.png"),
  ]);
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual(namesIn(folder.path), ["a.png", "p.png"]);
  assert.deepEqual([decodePng(bytesOf(at("p.png"))).width, decodePng(bytesOf(at("a.png"))).width], [16, 64]);
  const refused = await pixart(["generate", "--like", at("a.png"), "--out", at("b.png")]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /it was made of another picture; give that by --image/);
  const again = await pixart(["generate", "--like", at("a.png"), ...source.slice(0, 2), "--out", at("b.png")]);
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(bytesOf(at("b.png")), bytesOf(at("a.png")));
});
