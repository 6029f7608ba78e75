// Prompts with weights: how they are read, against what ComfyUI's parser gives, and which tokens get them.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { preprocessCaption } from "../../src/text/caption.ts";
import { encodeWeighted, parsePromptWeights } from "../../src/text/prompt_weights.ts";
import { T5Tokenizer } from "../../src/text/tokenizer.ts";
import { numbers } from "../_reference.ts";

const t5 = await T5Tokenizer.fromPretrained("tests/golden/tokenizer");

// Recorded from ComfyUI's own functions.
const RECORDED: Record<string, [string, number][]> = {
  "": [],
  "a red apple": [["a red apple", 1]],
  "a (red:1.3) apple": [["a ", 1], ["red", 1.3], [" apple", 1]],
  "(red) ((apple)) (((x)))": [["red", 1.1], [" ", 1], ["apple", 1.21], [" ", 1], ["x", 1.331]],
  "(a (b:0.5) c:1.4) d": [["a ", 1.4], ["b", 0.5], [" c", 1.4], [" d", 1]],
  "((a:1.3) b)": [["a", 1.3], [" b", 1.1]],
  "((a) b:1.2)": [["a", 1.32], [" b", 1.2]],
  "a \\(red\\) (apple \\(fruit\\):1.5)": [["a (red) ", 1], ["apple (fruit)", 1.5]],
  "(a\\)": [["(a)", 1]],
  "(a\\:1.2)": [["a\\", 1.2]],
  "a) (b:1.2)": [["a) (b:1.2)", 1]],
  "(a (b:1.2)": [["a ", 1.2], ["(b", 1.2]],
  "a (b": [["a ", 1], ["(b", 1]],
  "a) ( (b:1.2) c": [["a) ( ", 1], ["b", 1.2], [" c", 1]],
  ")(": [[")(", 1]],
  "()": [],
  "(:1.2)": [[":1.2", 1.1]],
  "(a:)": [["a:", 1.1]],
  "(a:b)": [["a:b", 1.1]],
  "(time 10:30:0.8) x": [["time 10:30", 0.8], [" x", 1]],
  "(a: -0.5 )(b:2.)(c:.5)(d:1e1)(e:+0)": [["a", -0.5], ["b", 2], ["c", 0.5], ["d", 10], ["e", 0]],
  "[red] {apple} (red:1.3)s": [["[red] {apple} ", 1], ["red", 1.3], ["s", 1]],
  "x(y)z": [["x", 1], ["y", 1.1], ["z", 1]],
  "(red:1,3)": [["red:1,3", 1.1]],
};

Deno.test("parsePromptWeights() reads nesting, numbers, escapes and lone parentheses as ComfyUI does", () => {
  for (const [prompt, expected] of Object.entries(RECORDED)) {
    const parts = parsePromptWeights(prompt).map(({ text, weight }) => [text, Math.round(weight * 1e9) / 1e9]);
    assert.deepEqual(parts, expected, prompt);
  }
});

/** Each token as text with its weight. */
function weightsOf(prompt: string, { clean = false, maxLength = 32 } = {}): [string, number][] {
  const { inputIds, attentionMask, weights } = encodeWeighted(t5, prompt, { clean, maxLength });
  const count = attentionMask.reduce((sum, keep) => sum + keep, 0);
  assert.ok(weights && weights.subarray(count - 1).every((weight) => weight === 1), "the end and padding weigh 1");
  return Array.from(
    { length: count - 1 },
    (_, i) => [t5.decode([inputIds[i]]), Math.round(weights[i] * 1000) / 1000],
  );
}

Deno.test("encodeWeighted() gives the tokens of the text without marks, each with the weight of its part", () => {
  assert.deepEqual(weightsOf("A (red:1.3) apple, (blue)"), [
    ["", 1],
    ["a", 1],
    ["red", 1.3],
    ["apple", 1],
    [",", 1],
    ["blue", 1.1],
  ]);
  // A word of several tokens; a mark in the middle of one; a comma that is no token of its own where a word follows.
  assert.deepEqual(weightsOf("(cactus:0.5)-like"), [["", 0.5], ["c", 0.5], ["actu", 0.5], ["s", 0.5], ["-", 1], [
    "like",
    1,
  ]]);
  assert.deepEqual(weightsOf("un(happy:2) (x:3)"), [["unhappy", 1], ["", 3], ["x", 3]]);
  assert.deepEqual(weightsOf("(un:2)happy"), [["unhappy", 2]]);
});

Deno.test("encodeWeighted() cleans a prompt as it cleans the same prompt without weights", () => {
  const prompts = [
    "A (Red:1.3) apple, (blue  background:0.7)",
    "(a cat:1.2), [8k] & (dog:0.5)",
    '"(A:1.2) quoted prompt"',
    "see http://example.com/ (x:1.4) (a <b>bold</b> fox:1.5) 1920x1080",
    "(see http://example.com:1.4) fox",
    "(IMG_2034.jpg:1.2) of a cat",
    "(,:1.2) a-b-c-d-(e:0.8)_f ,",
    "a caf\u00e9 (\u017fo\ufb01a:1.3) \uff21\uff22",
    "a (  red  :1.3)   apple",
  ];
  for (const prompt of prompts) {
    for (const clean of [true, false]) {
      const { inputIds, attentionMask } = encodeWeighted(t5, prompt, { clean, maxLength: 48 });
      const plain = preprocessCaption(parsePromptWeights(prompt).map(({ text }) => text).join(""), clean);
      const expected = t5.encode(plain, { maxLength: 48, padding: true, truncation: true });
      assert.equal(t5.decode(inputIds), t5.decode(expected.inputIds), `${prompt}, clean ${clean}`);
      assert.deepEqual(attentionMask, expected.attentionMask);
    }
  }
  assert.deepEqual(weightsOf("see http://apple.com (Apple:1.3)", { clean: true }), [["see", 1], ["apple", 1.3]]);
});

Deno.test("encodeWeighted() weighs the tokens of each word, as word by word in ComfyUI, for prompts of any shape", () => {
  const words = [
    "a",
    "cactus",
    "na\u00efve",
    "3d",
    "x-ray",
    "\u732b",
    "Photorealistic",
    "o'clock",
    "\u20ac5",
    "\ud83d\ude00",
  ];
  const draws = numbers(4000, 9);
  let at = 0;
  const pick = (count: number) => Math.floor(Math.abs(draws[at++]) * count) % count;
  for (let round = 0; round < 60; round++) {
    let prompt = "";
    const expected: [number, number][] = [];
    for (let groups = 1 + pick(6); groups > 0; groups--) {
      const some = Array.from({ length: 1 + pick(3) }, () => words[pick(words.length)]);
      const weight = [1, 0.5, 1.1, -2, 1.3][pick(5)];
      const inside = some.join(" ");
      prompt += ["", " ", "  "][pick(3)] +
        (weight === 1 ? inside : weight === 1.1 ? `(${inside})` : `(${inside}:${weight})`) + " ";
      for (const word of some) {
        const ids = t5.encode(word.toLowerCase()).inputIds.slice(0, -1);
        expected.push(...Array.from(ids, (id): [number, number] => [id, weight]));
      }
    }
    const { inputIds, attentionMask, weights } = encodeWeighted(t5, prompt, { clean: false, maxLength: 200 });
    const count = attentionMask.reduce((sum, keep) => sum + keep, 0) - 1;
    const got = Array.from({ length: count }, (_, i) => [inputIds[i], Math.round((weights?.[i] ?? 1) * 1e4) / 1e4]);
    assert.deepEqual(got, expected, prompt);
  }
});

Deno.test("encodeWeighted() cuts long prompts, and is a plain encoding where every weight is 1", () => {
  const { inputIds, weights, truncatedText } = encodeWeighted(t5, "a (red:1.3) apple (on:2) blue", {
    clean: false,
    maxLength: 5,
  });
  assert.deepEqual([...inputIds], [...t5.encode("a red apple on blue", { maxLength: 5 }).inputIds]);
  assert.deepEqual(weights, Float32Array.of(1, 1, 1.3, 1, 1));
  assert.equal(truncatedText, "on blue");
  const plain = encodeWeighted(t5, "A (Red:1) apple \\(x\\)", { clean: true, maxLength: 9 });
  assert.deepEqual(plain, t5.encode("a red apple x", { maxLength: 9, padding: true }));
  assert.equal(plain.weights, undefined);
  assert.throws(() => encodeWeighted(t5, "(a)b".repeat(4000), { clean: false, maxLength: 9 }), UsageError);
});
