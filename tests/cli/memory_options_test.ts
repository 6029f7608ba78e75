import assert from "node:assert/strict";
import { join } from "node:path";
import { temporaryFolder } from "../_temporary_folder.ts";
import { pixart } from "./_cli.ts";

const PROMPT = "a red apple on a blue background";
const FEW = ["--steps", "1", "--seed", "0", "--json"];

Deno.test("generate --max-memory says what it gives up, and keeps to the limit", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "apple.png");
  const { code, stdout, stderr } = await pixart(["generate", PROMPT, "--max-memory", "9MB", "--out", out, ...FEW]);
  assert.equal(code, 0, stderr);
  const { memory } = JSON.parse(stdout);
  assert.ok(memory.peakBytes <= 9e6, `${memory.peakBytes}`);
  assert.deepEqual([memory.plan.limit, memory.plan.offload, memory.plan.transformer], [9e6, true, "int8"]);
  assert.ok(memory.plan.words.length > 0);
  assert.ok(stderr.includes("within 9.0 MB of GPU memory (") && stderr.includes(memory.plan.words.join("; ")), stderr);
});

Deno.test("generate --max-memory fails where nothing fits, and names the least that would", async () => {
  const { code, stdout, stderr } = await pixart(["generate", PROMPT, "--max-memory", "2 MiB", "--offload", ...FEW]);
  assert.equal(code, 2, stderr);
  assert.match(JSON.parse(stdout).error.message, /within 2\.1 MB of GPU memory as the least that does is \d\.\d MB/);
});

Deno.test("generate takes --quantize, --offload, --vae-tiling and --vae-slicing", async () => {
  using folder = temporaryFolder();
  const run = async (...options: string[]) => {
    const { code, stdout, stderr } = await pixart(["generate", PROMPT, "--out", folder.path + "/", ...FEW, ...options]);
    assert.equal(code, 0, stderr);
    const { memory, dtype, images: [image] } = JSON.parse(stdout);
    return { memory, dtype, picture: Deno.readFileSync(image) };
  };
  const large = ["--height", "128", "--width", "64", "--no-binning"];
  const plain = await run(...large);
  const offloaded = await run(...large, "--offload", "--vae-slicing");
  assert.deepEqual(offloaded.picture, plain.picture);
  assert.ok(offloaded.memory.bytesAfter < 1e6 && offloaded.memory.peakBytes < plain.memory.peakBytes);
  const tiled = await run(...large, "--offload", "--vae-tiling");
  assert.notDeepEqual(tiled.picture, plain.picture);
  assert.ok(tiled.memory.peakBytes < offloaded.memory.peakBytes);
  const small = await run("--quantize", "t5=int4,transformer=int8");
  assert.equal(small.dtype, "int8");
});

Deno.test("generate refuses memory options that it cannot read", async () => {
  const cases = [
    ["--max-memory", "much"],
    ["--max-memory", "0GB"],
    ["--quantize", "t5"],
    ["--quantize", "t5=int5"],
    ["--quantize", "vae=int8"],
    ["--quantize", "t5=int8,text_encoder=int4"],
  ];
  for (const words of cases) {
    const { code, stderr } = await pixart(["generate", PROMPT, ...words]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /It must (say|be a number of bytes)/, stderr);
  }
});
