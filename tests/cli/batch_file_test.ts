import assert from "node:assert/strict";
import { parseBatch } from "../../src/cli/batch_file.ts";
import type { PictureFlags } from "../../src/cli/picture_options.ts";
import { UsageError } from "../../src/errors.ts";

const COMMON: PictureFlags = { steps: 20, guidance: 4.5, numImages: 1, cleanCaption: true, binning: true, seed: 3 };

const parse = (text: string) => parseBatch(text, COMMON, "batch.txt");

Deno.test("parseBatch() reads prompts with the original's options behind them", () => {
  const lines = parse(`\ufeff# a comment

a cat, 3--4 years old -- sitting
a dog --ar 16:9 --seed 7\r
a "big" fox --aspect_ratio 3:4 --negative "green, ugly" --num_images 2
it's late --hw 768:1280 --no-clean-caption`);
  assert.deepEqual(lines, [
    { line: 3, prompt: "a cat, 3--4 years old -- sitting", flags: COMMON },
    { line: 4, prompt: "a dog", flags: { ...COMMON, aspectRatio: [16, 9], seed: 7 } },
    {
      line: 5,
      prompt: 'a "big" fox',
      flags: { ...COMMON, aspectRatio: [3, 4], negative: "green, ugly", numImages: 2 },
    },
    { line: 6, prompt: "it's late", flags: { ...COMMON, hw: [768, 1280], cleanCaption: false } },
  ]);
});

Deno.test("parseBatch() reads objects in either spelling, with any option", () => {
  const lines = parse(`{"prompt": "a cat", "seed": 9, "num_inference_steps": 5, "guidanceScale": 2.5}
{"prompt": "a -- \\"dog\\"", "negative_prompt": "--ar 1:2", "binning": false, "ar": "3:4", "cleanCaption": true}`);
  assert.deepEqual(lines, [
    { line: 1, prompt: "a cat", flags: { ...COMMON, seed: 9, steps: 5, guidance: 2.5 } },
    {
      line: 2,
      prompt: 'a -- "dog"',
      flags: { ...COMMON, negative: "--ar 1:2", binning: false, aspectRatio: [3, 4] },
    },
  ]);
});

Deno.test("parseBatch() names the line that cannot be carried out", () => {
  for (
    const [text, part] of [
      ["a cat\na dog --seed x", "line 2 of batch.txt"],
      ["a dog --sede 4", "--sede"],
      ["a dog --ar 0:4", "height:width"],
      ["--seed 4", "no prompt"],
      ['{"prompt": "a"', "line 1"],
      ['{"seed": 4}', '"prompt"'],
      ['{"prompt": "a", "seed": [1]}', '"seed"'],
      ["a dog --seed 4 more words", "too many arguments"],
      ["# nothing\n", "must have prompts"],
    ]
  ) {
    assert.throws(() => parse(text), (error) => {
      assert.ok(error instanceof UsageError);
      assert.ok(error.message.includes(part), `${text}: ${error.message}`);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
});
