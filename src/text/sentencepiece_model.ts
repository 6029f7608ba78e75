// A sentencepiece model file. In: the bytes of `spiece.model` (a protobuf, ModelProto of sentencepiece_model.proto). Out: its
// vocabulary and normalisation.
import { PbfReader } from "npm:pbf@5.1.2";
import { PixArtError, WeightsError } from "../errors.ts";
import type { WhitespaceRules } from "./sentencepiece_charsmap.ts";
import type { Piece, PieceKind } from "./unigram.ts";

/** A vocabulary with all that is needed to use it, whatever file it came from. */
export interface Vocabulary {
  /** The pieces; the place is the id. */
  pieces: Piece[];
  /** The id of what is in no piece. */
  unkId: number;
  /** Whether unknown characters are spelt byte by byte. */
  byteFallback: boolean;
  /** The precompiled charsmap; empty when text is not normalised. */
  charsmap: Uint8Array;
  /** What happens to spaces. */
  whitespace: WhitespaceRules;
}

// The values of SentencePiece.Type.
const KINDS: Record<number, PieceKind> = {
  1: "normal",
  2: "unknown",
  3: "control",
  4: "user-defined",
  5: "unused",
  6: "byte",
};
const UNIGRAM = 1;

/**
 * Reads a sentencepiece model.
 *
 * @param bytes The whole file.
 * @param name The file, for messages.
 * @throws {WeightsError} that names the file, when it is no unigram model or broken.
 */
export function readSentencepieceModel(bytes: Uint8Array, name: string): Vocabulary {
  try {
    return read(bytes, name);
  } catch (error) {
    if (error instanceof PixArtError) throw error;
    throw new WeightsError(
      `Cannot read ${name} [${bytes.length} bytes] as a sentencepiece model: ${(error as Error).message}`,
    );
  }
}

function read(bytes: Uint8Array, name: string): Vocabulary {
  const fail = (why: string): never => {
    throw new WeightsError(`Cannot read ${name} [${bytes.length} bytes] as a sentencepiece model: ${why}`);
  };
  const vocabulary: Vocabulary = {
    pieces: [],
    unkId: -1,
    byteFallback: false,
    charsmap: new Uint8Array(0),
    whitespace: {
      removeExtraWhitespaces: true,
      addDummyPrefix: true,
      escapeWhitespaces: true,
      treatWhitespaceAsSuffix: false,
    },
  };
  const { pieces, whitespace } = vocabulary;
  let modelType = UNIGRAM;
  message(bytes, (field, reader) => {
    if (field === 1) pieces.push(readPiece(bytesOf(reader), pieces.length, fail));
    else if (field === 2) {
      message(bytesOf(reader), (field, reader) => {
        if (field === 3) modelType = reader.readVarint();
        else if (field === 24) whitespace.treatWhitespaceAsSuffix = reader.readBoolean();
        else if (field === 35) vocabulary.byteFallback = reader.readBoolean();
      });
    } else if (field === 3) {
      message(bytesOf(reader), (field, reader) => {
        if (field === 2) vocabulary.charsmap = bytesOf(reader).slice();
        else if (field === 3) whitespace.addDummyPrefix = reader.readBoolean();
        else if (field === 4) whitespace.removeExtraWhitespaces = reader.readBoolean();
        else if (field === 5) whitespace.escapeWhitespaces = reader.readBoolean();
      });
    }
  });
  if (pieces.length === 0) fail("it holds no pieces");
  if (modelType !== UNIGRAM) fail(`it is of type ${modelType}, and only unigram models (type 1) are known`);
  vocabulary.unkId = pieces.findIndex((piece) => piece.kind === "unknown");
  if (vocabulary.unkId < 0) fail("no piece is of the kind unknown");
  return vocabulary;
}

function readPiece(bytes: Uint8Array, id: number, fail: (why: string) => never): Piece {
  const piece: Piece = { text: "", score: 0, kind: "normal" };
  message(bytes, (field, reader) => {
    if (field === 1) piece.text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytesOf(reader));
    else if (field === 2) piece.score = reader.readFloat();
    else if (field === 3) piece.kind = KINDS[reader.readVarint()] ?? fail(`piece ${id} is of no known kind`);
  });
  if (piece.text === "") fail(`piece ${id} is empty`);
  if (!Number.isFinite(piece.score)) fail(`piece ${id} has the score ${piece.score}`);
  return piece;
}

/** Walks over the fields of one message; a field that reaches beyond its end is an error, which pbf alone would not see. */
function message(bytes: Uint8Array, onField: (field: number, reader: PbfReader) => void): void {
  const reader = new PbfReader(bytes);
  reader.readFields((field, _, reader) => onField(field, reader), undefined);
  if (reader.pos > bytes.length) throw new RangeError(`a field ends ${reader.pos - bytes.length} bytes behind the end`);
}

function bytesOf(reader: PbfReader): Uint8Array {
  if (reader.type !== 2) throw new RangeError(`a field at byte ${reader.pos} has the wire type ${reader.type}, not 2`);
  return reader.readBytes();
}
