// Makes tokenizer files for tests. In: pieces and rules. Out: a sentencepiece model's bytes, or a tokenizer.json in the layout that
// Hugging Face's converters write.
import { PbfWriter } from "npm:pbf@5.1.2";
import { joinPath } from "../../src/io/byte_source.ts";
import type { Vocabulary } from "../../src/text/sentencepiece_model.ts";
import type { Piece } from "../../src/text/unigram.ts";

const KINDS = ["", "normal", "unknown", "control", "user-defined", "unused", "byte"];

export interface ModelParts extends Partial<Omit<Vocabulary, "pieces" | "unkId">> {
  modelType?: number;
}

/** The bytes of a ModelProto. */
export function modelBytes(pieces: Piece[], parts: ModelParts = {}): Uint8Array {
  const writer = new PbfWriter();
  for (const piece of pieces) {
    writer.writeMessage(1, (piece: Piece, writer: PbfWriter) => {
      writer.writeStringField(1, piece.text);
      writer.writeFloatField(2, piece.score);
      writer.writeVarintField(3, KINDS.indexOf(piece.kind));
    }, piece);
  }
  writer.writeMessage(2, (parts: ModelParts, writer: PbfWriter) => {
    writer.writeVarintField(3, parts.modelType ?? 1);
    writer.writeBooleanField(24, parts.whitespace?.treatWhitespaceAsSuffix ?? false);
    writer.writeBooleanField(35, parts.byteFallback ?? false);
  }, parts);
  writer.writeMessage(3, (parts: ModelParts, writer: PbfWriter) => {
    if (parts.charsmap) writer.writeBytesField(2, parts.charsmap);
    writer.writeBooleanField(3, parts.whitespace?.addDummyPrefix ?? true);
    writer.writeBooleanField(4, parts.whitespace?.removeExtraWhitespaces ?? true);
    writer.writeBooleanField(5, parts.whitespace?.escapeWhitespaces ?? true);
  }, parts);
  return writer.finish();
}

/** Pieces for small models: the three special ones, then the given ones with falling scores. */
export function smallPieces(texts: string[], kinds: Record<string, Piece["kind"]> = {}): Piece[] {
  const special: Piece[] = [
    { text: "<pad>", score: 0, kind: "control" },
    { text: "</s>", score: 0, kind: "control" },
    { text: "<unk>", score: 0, kind: "unknown" },
  ];
  return [...special, ...texts.map((text, i): Piece => ({ text, score: -1 - i / 8, kind: kinds[text] ?? "normal" }))];
}

/** A tokenizer.json of a T5 vocabulary; `era` 4 and 5 are the layouts of transformers 4 and 5. */
export function tokenizerJson(vocabulary: Vocabulary, extraIds: number, era: 4 | 5): Record<string, unknown> {
  const pieces = vocabulary.pieces.map(({ text, score }): [string, number] => [text, score]);
  const extra = Array.from({ length: extraIds }, (_, i) => `<extra_id_${extraIds - 1 - i}>`);
  const token = (content: string, id: number) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const precompiled = { type: "Precompiled", precompiled_charsmap: base64(vocabulary.charsmap) };
  const metaspace = era === 4
    ? { type: "Metaspace", replacement: "\u2581", add_prefix_space: true }
    : { type: "Metaspace", replacement: "\u2581", prepend_scheme: "always", split: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      ...["<pad>", "</s>", "<unk>"].map(token),
      ...extra.map((text, i) => token(text, pieces.length + i)),
    ],
    normalizer: era === 5 ? precompiled : {
      type: "Sequence",
      normalizers: [
        precompiled,
        { type: "Strip", strip_left: false, strip_right: true },
        { type: "Replace", pattern: { Regex: " {2,}" }, content: "\u2581" },
      ],
    },
    pre_tokenizer: era === 4 ? metaspace : {
      type: "Sequence",
      pretokenizers: [{ type: "WhitespaceSplit" }, metaspace],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
      pair: [],
      special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
    },
    decoder: metaspace,
    model: {
      type: "Unigram",
      unk_id: vocabulary.unkId,
      vocab: [...pieces, ...extra.map((text) => [text, 0])],
      byte_fallback: false,
    },
  };
}

/** Writes files into a new folder; objects become JSON. */
export async function folderOf(files: Record<string, Uint8Array | object>): Promise<string> {
  const folder = await Deno.makeTempDir();
  for (const [name, content] of Object.entries(files)) {
    const path = joinPath(folder, name);
    if (content instanceof Uint8Array) await Deno.writeFile(path, content);
    else await Deno.writeTextFile(path, JSON.stringify(content));
  }
  return folder;
}

function base64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
