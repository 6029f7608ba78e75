// A ControlNet and weighted prompts on the command line.

import assert from "node:assert/strict";
import { join } from "node:path";
import { decodePng } from "../../src/io/image.ts";
import { checkControlFlags } from "../../src/cli/controlnet_options.ts";
import { UsageError } from "../../src/errors.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { narrowHed, writeControlNet } from "../pipelines/_controlnet.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";
import { pixart, ROOT } from "./_cli.ts";

const SOURCE = join(ROOT, "tests/golden/pictures/source.png");

Deno.test("checkControlFlags() asks for what is missing", () => {
  const controlnet = "net.pth", hed = "hed.pth";
  checkControlFlags({}, {});
  checkControlFlags({}, { controlnet, hed });
  checkControlFlags({ controlImage: "a.png", controlScale: 0 }, { controlnet });
  const refused: [Parameters<typeof checkControlFlags>, RegExp][] = [
    [[{ controlImage: "a.png" }, { hed }], /give --controlnet FILE/],
    [[{ controlImage: "a.png", controlEdges: true }, { controlnet, hed }], /--control-edges and --hed do/],
    [[{ controlScale: 0 }, { controlnet }], /Cannot use --control-scale .* give --control-image FILE/],
    [[{ controlEdges: true }, {}], /Cannot use --control-edges/],
    [[{ controlStart: 0 }, { controlnet }], /Cannot use --control-start/],
    [[{ controlEnd: 1 }, { controlnet }], /Cannot use --control-end/],
  ];
  for (const [args, message] of refused) {
    assert.throws(
      () => checkControlFlags(...args),
      (error) => error instanceof UsageError && message.test(error.message),
      `${message}`,
    );
  }
});

Deno.test("generate() lets a ControlNet steer and words weigh, and makes the picture again when it is given both", async () => {
  using folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const pixelsOf = async (name: string) => decodePng(await Deno.readFile(at(name))).pixels;
  const net = ["--controlnet", await writeControlNet(folder.path)];
  const shown = ["--control-image", SOURCE, "--control-edges"];
  const words = ["a (red:1.4) apple", "--seed", "3", "--steps", "2", "--hw", "64:64", "--prompt-weighting"];
  const steer = [...net, ...shown, "--control-scale", "0.5", "--control-end", "0.5"];
  const made = async (...args: string[]) => {
    const { code, stderr } = await pixart(["generate", ...args]);
    assert.equal(code, 0, stderr);
  };
  await made(...words, "--out", at("plain.png"));
  await made(...words, ...steer, "--out", at("steered.png"));
  assert.notDeepEqual(await pixelsOf("steered.png"), await pixelsOf("plain.png"));
  const alone = await pixart(["generate", "--like", at("steered.png"), "--out", at("again.png")]);
  assert.equal(alone.code, 2);
  assert.match(alone.stderr, /a ControlNet steered it; give that by --controlnet FILE/);
  await made("--like", at("steered.png"), ...net, ...shown, "--out", at("again.png"));
  assert.deepEqual(await pixelsOf("again.png"), await pixelsOf("steered.png"));
  await Deno.writeFile(at("hed.safetensors"), encodeSafetensors(narrowHed()));
  await made(...words, ...net, ...shown.slice(0, 2), "--hed", at("hed.safetensors"), "--out", at("hed.png"));
  assert.notDeepEqual(await pixelsOf("hed.png"), await pixelsOf("plain.png"));
  const batch = `a (red:1.4) apple --prompt-weighting --control-image ${SOURCE} --control-edges\n` +
    JSON.stringify({ prompt: "a (red:1.4) apple", promptWeighting: true });
  await Deno.writeTextFile(at("prompts.txt"), batch);
  const common = ["--seed", "3", "--steps", "2", "--hw", "64:64", "--name", "line-{line}"];
  await made("--batch", at("prompts.txt"), ...common, ...net, "--out", `${folder.path}/`);
  const [first, second] = namesIn(folder.path).filter((name) => name.startsWith("line-"));
  assert.deepEqual(await pixelsOf(second), await pixelsOf("plain.png"));
  assert.notDeepEqual(await pixelsOf(first), await pixelsOf(second));
});
