import assert from "node:assert/strict";
import { ConfigError, UsageError, WeightsError } from "../../src/errors.ts";
import { readBytes, readJson } from "../../src/io/byte_source.ts";
import { readSentencepieceModel } from "../../src/text/sentencepiece_model.ts";
import { T5Tokenizer } from "../../src/text/tokenizer.ts";
import { bytePiece } from "../../src/text/unigram.ts";
import { folderOf, modelBytes, smallPieces, tokenizerJson } from "./_tokenizer_files.ts";

const FOLDER = "tests/golden/tokenizer";
const MODEL = `${FOLDER}/spiece.model`;
const t5Cases = await readJson(`${FOLDER}/t5.json`) as { text: string; expected: number[] }[];
// Odd texts with the ids that sentencepiece 0.2.2 gives for both vocabularies.
const oddCases = await readJson(`${FOLDER}/sentencepiece.json`) as { text: string; t5: number[]; tiny: number[] }[];

const t5 = await T5Tokenizer.fromPretrained(FOLDER);
const ids = (tokenizer: T5Tokenizer, text: string) => [...tokenizer.encode(text).inputIds];

Deno.test("T5Tokenizer.encode() gives the recorded ids for every text of the fixture", () => {
  for (const { text, expected } of t5Cases) {
    assert.deepEqual([...t5.encode(text, { maxLength: 300 }).inputIds], expected, text);
  }
});

Deno.test("T5Tokenizer.encode() gives sentencepiece's ids for odd text with a large and a small vocabulary", async () => {
  const tiny = await T5Tokenizer.fromPretrained("weights/emoji-64", { subfolder: "tokenizer" });
  assert.equal(tiny.vocabSize, 224);
  assert.equal(tiny.modelMaxLength, 24);
  for (const { text, ...expected } of oddCases) {
    assert.deepEqual(ids(t5, text), expected.t5, text);
    assert.deepEqual(ids(tiny, text), expected.tiny, text);
  }
});

Deno.test("T5Tokenizer.encode() takes text that spells a special token as that token", () => {
  assert.deepEqual(ids(t5, "<extra_id_99><extra_id_0>"), [32000, 32099, 1]);
  assert.deepEqual(ids(t5, "a</s>a<pad>"), [3, 9, 1, 3, 9, 0, 1]);
});

Deno.test("T5Tokenizer.encode() pads to maxLength and masks the padding", () => {
  const { inputIds, attentionMask, truncatedText } = t5.encode("a", { maxLength: 6, padding: true, truncation: true });
  assert.deepEqual([...inputIds], [3, 9, 1, 0, 0, 0]);
  assert.deepEqual([...attentionMask], [1, 1, 1, 0, 0, 0]);
  assert.equal(truncatedText, undefined);
});

Deno.test("T5Tokenizer.encode() cuts to maxLength and says what was cut off", () => {
  const text = "A small cactus with a happy face in the Sahara desert.";
  const { inputIds, truncatedText } = t5.encode(text, { maxLength: 10 });
  assert.deepEqual([...inputIds], [71, 422, 3, 75, 18141, 7, 28, 3, 9, 1]);
  assert.equal(truncatedText, "happy face in the Sahara desert.");
  assert.equal(t5.encode(text, { maxLength: 10, truncation: false }).inputIds.length, 18);
  assert.deepEqual([...t5.encode(text, { maxLength: 1 }).inputIds], [1]);
  assert.throws(() => t5.encode(text, { maxLength: 0 }), UsageError);
});

Deno.test("T5Tokenizer.decode() gives back text, with or without special tokens", () => {
  assert.equal(t5.decode([71, 422, 3, 75, 18141, 7, 2, 5, 1, 32099, 0]), "A small cactus<unk>.</s><extra_id_0><pad>");
  assert.equal(t5.decode([71, 422, 3, 75, 18141, 7, 5, 1, 0], { skipSpecialTokens: true }), "A small cactus.");
  assert.throws(() => t5.decode([32100]), { name: "UsageError", message: /32100/ });
});

Deno.test("T5Tokenizer.fromPretrained() states sizes and special ids", () => {
  const { vocabSize, modelMaxLength, padTokenId, eosTokenId, unkTokenId } = t5;
  assert.deepEqual(
    { vocabSize, modelMaxLength, padTokenId, eosTokenId, unkTokenId },
    { vocabSize: 32100, modelMaxLength: 512, padTokenId: 0, eosTokenId: 1, unkTokenId: 2 },
  );
});

for (const era of [4, 5] as const) {
  Deno.test(`T5Tokenizer.fromPretrained() reads a tokenizer.json of transformers ${era} like spiece.model`, async () => {
    const vocabulary = readSentencepieceModel(await readBytes(MODEL), MODEL);
    const folder = await folderOf({
      "tokenizer.json": tokenizerJson(vocabulary, 100, era),
      "tokenizer_config.json": { extra_ids: 100, model_max_length: 512 },
    });
    const fast = await T5Tokenizer.fromPretrained(folder);
    assert.equal(fast.vocabSize, 32100);
    assert.equal(fast.modelMaxLength, 512);
    for (const { text, expected } of t5Cases) {
      assert.deepEqual([...fast.encode(text, { maxLength: 300 }).inputIds], expected, text);
    }
    for (const { text, t5: expected } of oddCases) assert.deepEqual(ids(fast, text), expected, text);
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("T5Tokenizer.fromPretrained() honours added_tokens_decoder and added_tokens.json", async () => {
  const folder = await folderOf({
    "spiece.model": modelBytes(smallPieces(["\u2581", "a"])),
    "tokenizer_config.json": {
      model_max_length: 1e30,
      pad_token: { content: "<pad>", lstrip: false },
      added_tokens_decoder: { "5": { content: "<extra_id_0>" } },
    },
    "added_tokens.json": { "<mine>": 9 },
  });
  const tokenizer = await T5Tokenizer.fromPretrained(folder);
  assert.deepEqual(ids(tokenizer, "<mine>a<extra_id_0>"), [9, 3, 4, 5, 1]);
  assert.equal(tokenizer.vocabSize, 10);
  assert.equal(tokenizer.modelMaxLength, Infinity);
  assert.throws(() => tokenizer.encode("a", { padding: true }), UsageError);
  await Deno.remove(folder, { recursive: true });
});

async function encodeWith(model: Uint8Array, text: string): Promise<number[]> {
  const folder = await folderOf({ "spiece.model": model, "tokenizer_config.json": { extra_ids: 0 } });
  const tokenizer = await T5Tokenizer.fromPretrained(folder);
  await Deno.remove(folder, { recursive: true });
  const found = ids(tokenizer, text);
  assert.equal(found.pop(), 1);
  return found;
}

Deno.test("T5Tokenizer.encode() spells unknown characters by bytes when the model falls back to them", async () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => bytePiece(byte));
  const kinds = Object.fromEntries(bytes.map((text) => [text, "byte" as const]));
  const model = modelBytes(smallPieces([...bytes, "\u2581", "a"], kinds), { byteFallback: true });
  assert.deepEqual(await encodeWith(model, "aé"), [3 + 256, 3 + 257, 3 + 0xc3, 3 + 0xa9]);
});

Deno.test("T5Tokenizer.encode() keeps user-defined pieces whole and merges unknown characters", async () => {
  const { charsmap } = readSentencepieceModel(await readBytes(MODEL), MODEL);
  const pieces = smallPieces(["\u2581", "a", "f", "i", "\ufb01"], { "\ufb01": "user-defined" });
  // The ligature would become "fi" if it were no piece of its own, as the fullwidth "a" becomes "a".
  assert.deepEqual(await encodeWith(modelBytes(pieces, { charsmap }), "\uff41\ufb01\u00e9\u00ea"), [3, 4, 7, 2]);
});

Deno.test("T5Tokenizer.encode() follows the model's rules for spaces", async () => {
  const pieces = smallPieces(["\u2581", "a"]);
  const rules = { removeExtraWhitespaces: true, addDummyPrefix: true, escapeWhitespaces: true };
  const encode = (whitespace: Partial<typeof rules> & { treatWhitespaceAsSuffix?: boolean }) =>
    encodeWith(
      modelBytes(pieces, { whitespace: { treatWhitespaceAsSuffix: false, ...rules, ...whitespace } }),
      "a  a ",
    );
  assert.deepEqual(await encode({}), [3, 4, 3, 4]);
  assert.deepEqual(await encode({ addDummyPrefix: false }), [4, 3, 4]);
  assert.deepEqual(await encode({ removeExtraWhitespaces: false }), [3, 4, 3, 3, 4, 3]);
  assert.deepEqual(await encode({ treatWhitespaceAsSuffix: true }), [4, 3, 4, 3]);
});

Deno.test("T5Tokenizer.encode() is quick for long text", () => {
  const started = performance.now();
  const { inputIds } = t5.encode("a photo of a cat and ".repeat(10_000));
  assert.ok(inputIds.length > 60_000);
  assert.ok(performance.now() - started < 10_000);
});

Deno.test("T5Tokenizer.fromPretrained() names the file when a model is broken", async () => {
  const whole = await readBytes(MODEL);
  const scrambled = whole.slice(0, 5000).map((byte, i) => byte ^ ((i * 2654435761) >>> 13));
  const broken: Record<string, Uint8Array> = {
    "nothing": new Uint8Array(0),
    "cut inside of a piece": whole.slice(0, 1001),
    "cut inside of the charsmap": whole.slice(0, whole.length - 1000),
    "noise": scrambled,
    "text": new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "another type": modelBytes(smallPieces(["a"]), { modelType: 2 }),
    "no unknown piece": modelBytes([{ text: "a", score: 0, kind: "normal" }]),
    "a score that is no number": modelBytes(smallPieces(["a"]).map((piece) => ({ ...piece, score: NaN }))),
    "a charsmap that claims too much": modelBytes(smallPieces(["a"]), { charsmap: Uint8Array.of(255, 255, 0, 0, 1) }),
  };
  for (const [what, bytes] of Object.entries(broken)) {
    const folder = await folderOf({ "spiece.model": bytes });
    await assert.rejects(
      T5Tokenizer.fromPretrained(folder),
      (error: Error) => error instanceof WeightsError && error.message.includes("spiece.model"),
      what,
    );
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("T5Tokenizer.encode() ends when the trie of the charsmap is noise", async () => {
  const charsmap = new Uint8Array(4 + 4096).map((_, i) => i < 4 ? [0, 15, 0, 0][i] : (i * 2654435761) >>> 17);
  charsmap[charsmap.length - 1] = 0;
  assert.ok((await encodeWith(modelBytes(smallPieces(["a"]), { charsmap }), "a \u0000\u00e9 text")).length >= 0);
});

Deno.test("T5Tokenizer.fromPretrained() names the file and the part when JSON cannot be honoured", async () => {
  const vocabulary = { ...readSentencepieceModel(modelBytes(smallPieces(["a"])), "small") };
  const good = tokenizerJson(vocabulary, 0, 5);
  const files: [RegExp, Record<string, object>][] = [
    [/neither spiece\.model nor tokenizer\.json/, {}],
    [/tokenizer\.json .*type BPE/, { "tokenizer.json": { ...good, model: { type: "BPE" } } }],
    [/tokenizer\.json .*no model/, { "tokenizer.json": { ...good, model: 3 } }],
    [/tokenizer\.json .*vocab\[0\]/, { "tokenizer.json": { ...good, model: { type: "Unigram", vocab: [[1, 2]] } } }],
    [/tokenizer\.json .*unk_id/, { "tokenizer.json": { ...good, model: { type: "Unigram", vocab: [["a", 2]] } } }],
    [/tokenizer\.json .*Lowercase/, { "tokenizer.json": { ...good, normalizer: { type: "Lowercase" } } }],
    [/tokenizer\.json .*ByteLevel/, { "tokenizer.json": { ...good, pre_tokenizer: { type: "ByteLevel" } } }],
    [/tokenizer\.json .*base64/, {
      "tokenizer.json": { ...good, normalizer: { type: "Precompiled", precompiled_charsmap: "é" } },
    }],
    [/tokenizer_config\.json .*object/, { "tokenizer.json": good, "tokenizer_config.json": [] }],
    [/extra_ids of .*tokenizer_config\.json/, { "tokenizer.json": good, "tokenizer_config.json": { extra_ids: 1e9 } }],
    [/model_max_length of .*tokenizer_config\.json/, {
      "tokenizer.json": good,
      "tokenizer_config.json": { model_max_length: "long" },
    }],
    [/eos_token <\/end>/, { "tokenizer.json": good, "special_tokens_map.json": { eos_token: "</end>" } }],
    [/added_tokens\.json/, { "tokenizer.json": good, "added_tokens.json": { "<x>": -1 } }],
  ];
  for (const [message, content] of files) {
    const folder = await folderOf(content);
    await assert.rejects(
      T5Tokenizer.fromPretrained(folder),
      (error: Error) => error instanceof ConfigError && message.test(error.message),
      String(message),
    );
    await Deno.remove(folder, { recursive: true });
  }
});
