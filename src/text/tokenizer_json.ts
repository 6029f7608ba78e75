// Hugging Face's `tokenizer.json`. In: the parsed file. Out: the vocabulary and the added tokens, in the terms of sentencepiece.
//
// The file describes a pipeline of normalisers and pre-tokenisers that imitates sentencepiece; it is read back as what it
// imitates, because that is what the model was trained with. A step that has no counterpart there is an error.
import { ConfigError } from "../errors.ts";
import type { Vocabulary } from "./sentencepiece_model.ts";
import type { Piece } from "./unigram.ts";

type Json = Record<string, unknown>;

/**
 * Reads a tokenizer.json with a unigram model.
 *
 * @param json The parsed file.
 * @param name The file, for messages.
 * @returns The vocabulary, and the added tokens with their ids.
 * @throws {ConfigError} that names the file and the part that is broken or unknown.
 */
export function readTokenizerJson(
  json: unknown,
  name: string,
): { vocabulary: Vocabulary; addedTokens: Map<string, number> } {
  const fail = (why: string): never => {
    throw new ConfigError(`Cannot read ${name} as a unigram tokenizer: ${why}`);
  };
  const root = isObject(json) ? json : fail("it is not an object");
  const model = isObject(root.model) ? root.model : fail("it has no model");
  if (model.type !== "Unigram") fail(`its model is of type ${String(model.type)}`);

  const pieces = readPieces(model.vocab, fail);
  const unkId = model.unk_id;
  if (typeof unkId !== "number" || !pieces[unkId]) return fail(`unk_id is ${String(unkId)}`);
  const addedTokens = readAddedTokens(root.added_tokens, fail);
  for (const [text, id] of addedTokens) if (pieces[id]?.text === text) pieces[id].kind = "control";
  pieces[unkId].kind = "unknown";
  const byteFallback = model.byte_fallback === true;
  if (byteFallback) {
    for (const piece of pieces) if (/^<0x[0-9A-F]{2}>$/.test(piece.text)) piece.kind = "byte";
  }

  const vocabulary: Vocabulary = {
    pieces,
    unkId,
    byteFallback,
    charsmap: new Uint8Array(0),
    whitespace: {
      removeExtraWhitespaces: false,
      addDummyPrefix: false,
      escapeWhitespaces: true,
      treatWhitespaceAsSuffix: false,
    },
  };
  for (const step of steps(root.normalizer, "normalizers")) readNormalizer(step, vocabulary, fail);
  for (const step of steps(root.pre_tokenizer, "pretokenizers")) readPreTokenizer(step, vocabulary, fail);
  return { vocabulary, addedTokens };
}

function readPieces(vocab: unknown, fail: (why: string) => never): Piece[] {
  if (!Array.isArray(vocab) || vocab.length === 0) return fail("its model has no vocab");
  return vocab.map((entry: unknown, id): Piece => {
    const [text, score] = Array.isArray(entry) ? entry as unknown[] : [];
    if (typeof text !== "string" || text === "" || !Number.isFinite(score)) {
      return fail(`vocab[${id}] is not a piece and its score`);
    }
    return { text, score: score as number, kind: "normal" };
  });
}

function readAddedTokens(list: unknown, fail: (why: string) => never): Map<string, number> {
  if (list === undefined || list === null) return new Map();
  if (!Array.isArray(list)) return fail("added_tokens is not a list");
  return new Map(list.map((token: unknown, i): [string, number] => {
    if (!isObject(token) || typeof token.content !== "string" || !isId(token.id)) {
      return fail(`added_tokens[${i}] has no content or no id`);
    }
    return [token.content, token.id];
  }));
}

function readNormalizer(step: Json, vocabulary: Vocabulary, fail: (why: string) => never): void {
  if (step.type === "Precompiled") {
    const base64 = typeof step.precompiled_charsmap === "string" ? step.precompiled_charsmap : "";
    try {
      vocabulary.charsmap = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    } catch {
      fail("its precompiled_charsmap is not base64");
    }
  } else if (step.type === "Strip") {
    vocabulary.whitespace.removeExtraWhitespaces = true;
  } else if (step.type === "Replace" && isObject(step.pattern) && step.pattern.Regex === " {2,}") {
    vocabulary.whitespace.removeExtraWhitespaces = true;
  } else fail(`its normalizer has the step ${JSON.stringify(step).slice(0, 100)}`);
}

function readPreTokenizer(step: Json, vocabulary: Vocabulary, fail: (why: string) => never): void {
  if (step.type === "WhitespaceSplit") vocabulary.whitespace.removeExtraWhitespaces = true;
  else if (step.type === "Metaspace" && (step.replacement ?? "\u2581") === "\u2581") {
    // Files before 2024 say add_prefix_space, later ones prepend_scheme.
    vocabulary.whitespace.addDummyPrefix = step.prepend_scheme === undefined
      ? step.add_prefix_space !== false
      : step.prepend_scheme !== "never";
  } else fail(`its pre_tokenizer has the step ${JSON.stringify(step).slice(0, 100)}`);
}

/** The steps of a normaliser or pre-tokeniser, which is null, one step or a sequence of them. */
function steps(value: unknown, listName: string): Json[] {
  if (!isObject(value)) return [];
  if (value.type !== "Sequence") return [value];
  const list = value[listName];
  return Array.isArray(list) ? list.flatMap((step: unknown) => steps(step, listName)) : [];
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}
