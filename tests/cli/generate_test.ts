import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { decodePng } from "../../src/io/image.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart, pixartStopped } from "./_cli.ts";

const PROMPT = "a red apple on a blue background";
const SLUG = "a-red-apple-on-a-blue-background";

Deno.test("generate() makes a picture that says how it was made", async () => {
  using folder = temporaryFolder();
  const { code, stdout, stderr } = await pixart(["generate", PROMPT, "--seed", "5", "--steps", "3"], {
    cwd: folder.path,
  });
  assert.equal(code, 0, stderr);
  assert.deepEqual(namesIn(folder.path), [`${SLUG}-5.png`]);
  assert.equal(stdout, `${SLUG}-5.png  64x64  seed 5\n`);
  assert.match(stderr, /seed 5/);
  const { width, height, metadata } = decodePng(Deno.readFileSync(join(folder.path, `${SLUG}-5.png`)));
  assert.deepEqual([width, height], [64, 64]);
  assert.equal(metadata.prompt, PROMPT);
  assert.equal(metadata.seed, "5");
  assert.equal(metadata.num_inference_steps, "3");
});

Deno.test("generate() makes the same picture of the same seed, under a free name", async () => {
  using folder = temporaryFolder();
  const args = ["generate", PROMPT, "--seed", "5", "--steps", "3", "--out", folder.path, "--json"];
  const reports = [];
  for (let run = 0; run < 2; run++) {
    const { code, stdout, stderr } = await pixart(args);
    assert.equal(code, 0, stderr);
    reports.push(JSON.parse(stdout));
  }
  const paths = reports.map(({ images: [path] }) => path);
  assert.deepEqual(paths.map((path) => basename(path)), [`${SLUG}-5.png`, `${SLUG}-5-2.png`]);
  const [first, second] = paths.map((path) => Deno.readFileSync(path));
  assert.deepEqual(first, second);
});

Deno.test("generate() reports the run as JSON", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "apple.png");
  const { code, stdout, stderr } = await pixart([
    ...["generate", PROMPT, "--json", "--out", out, "--steps", "2", "--guidance", "3.5", "--num-images", "2"],
    ...["--negative", "green", "--scheduler", "dpm-karras", "--dtype", "f32", "--max-sequence-length", "20"],
  ]);
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout);
  assert.deepEqual(Object.keys(report).sort(), [
    ..."backend device dtype guidance height images loras memory model prompt scheduler seconds seed steps".split(" "),
    ..."warnings width".split(" "),
  ]);
  assert.equal(report.prompt, PROMPT);
  assert.equal(report.steps, 2);
  assert.equal(report.guidance, 3.5);
  assert.equal(report.dtype, "f32");
  assert.equal(report.scheduler, "DPMSolverMultistepScheduler");
  assert.deepEqual([report.width, report.height], [64, 64]);
  assert.deepEqual(report.images, ["apple-1.png", "apple-2.png"].map((name) => join(folder.path, name)));
  assert.deepEqual(namesIn(folder.path), ["apple-1.png", "apple-2.png"]);
  const { load, generate, save, total } = report.seconds;
  assert.ok(load > 0 && generate > 0 && save >= 0 && total >= load + generate + save - 0.01);
  assert.ok(report.memory.peakBytes >= report.memory.bytesAfter && report.memory.bytesAfter > 0);
  // A random seed is told, so that the picture can be made again.
  assert.ok(Number.isInteger(report.seed));
  const { metadata } = decodePng(Deno.readFileSync(report.images[1]));
  assert.equal(metadata.seed, String(report.seed));
  assert.equal(metadata.negative_prompt, "green");
});

Deno.test("generate() refuses a taken name before it loads anything, unless it may overwrite", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "apple.png");
  Deno.writeTextFileSync(out, "old");
  const args = ["generate", PROMPT, "--seed", "1", "--steps", "1", "--out", out];
  const refused = await pixart([...args, "--model", "/nonexistent"]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /--overwrite/);
  assert.equal(Deno.readTextFileSync(out), "old");
  const { code, stderr } = await pixart([...args, "--overwrite"]);
  assert.equal(code, 0, stderr);
  assert.equal(decodePng(Deno.readFileSync(out)).metadata.seed, "1");
  assert.deepEqual(namesIn(folder.path), ["apple.png"]);
});

Deno.test("generate() exits 2 for a size that the model cannot paint, and writes nothing", async () => {
  using folder = temporaryFolder();
  const { code, stderr } = await pixart(["generate", PROMPT, "--width", "63", "--out", folder.path]);
  assert.equal(code, 2);
  assert.match(stderr, /63x64/);
  assert.deepEqual(namesIn(folder.path), []);
});

Deno.test("generate() stops on Ctrl-C with one line, exit status 130 and no file", async () => {
  using folder = temporaryFolder();
  const args = ["generate", PROMPT, "--seed", "9", "--steps", "1000", "--out", folder.path, "--json"];
  const { code, stdout, stderr } = await pixartStopped(args, "seed 9", "SIGINT");
  assert.equal(code, 130, stderr);
  assert.equal(JSON.parse(stdout).error.kind, "CancelledError");
  const lines = linesOf(stderr).filter((line) => !/seed 9|\d%/.test(line));
  assert.equal(lines.length, 1, stderr);
  assert.match(lines[0], /^pixart: Cannot finish generate as SIGINT stopped it/);
  assert.deepEqual(namesIn(folder.path), []);
});
