// The unigram language model of sentencepiece. In: normalised text and pieces with log probabilities. Out: the ids of the
// likeliest segmentation (Viterbi). Kudo 2018, https://arxiv.org/abs/1804.10959.
//
// Scores are f32 and ties keep the segmentation found first, as in sentencepiece: T5 saw exactly those ids in training.

/** What a piece is for. */
export type PieceKind = "normal" | "unknown" | "control" | "user-defined" | "byte" | "unused";

/** One entry of a vocabulary; its place in the list is its id. */
export interface Piece {
  /** The text, with U+2581 for a space. */
  text: string;
  /** Log probability. */
  score: number;
  /** What the piece is for. */
  kind: PieceKind;
}

// How much less likely than the rarest piece an unknown character is (kUnkPenalty of sentencepiece).
const UNKNOWN_PENALTY = 10;
// Above every code point, so that `node * STRIDE + codePoint` is one number for each edge of the trie.
const STRIDE = 0x110000;

/** A vocabulary that splits text. */
export class Unigram {
  readonly #edges = new Map<number, number>();
  readonly #idAt: number[] = [-1];
  readonly #scores: Float32Array;
  readonly #unkId: number;
  readonly #unkScore: number;
  readonly #byteIds: number[] | undefined;

  /**
   * @param pieces The vocabulary.
   * @param unkId The id of what is in no piece.
   * @param byteFallback Whether unknown characters are spelt with the pieces `<0x00>` to `<0xFF>`.
   */
  constructor(pieces: readonly Piece[], unkId: number, byteFallback: boolean) {
    const normal = pieces.filter((piece) => piece.kind === "normal").map((piece) => Math.fround(piece.score));
    const lowest = normal.reduce((a, b) => Math.min(a, b), normal.length > 0 ? Infinity : 0);
    const highest = normal.reduce((a, b) => Math.max(a, b), normal.length > 0 ? -Infinity : 0);
    this.#unkId = unkId;
    this.#unkScore = Math.fround(lowest - UNKNOWN_PENALTY);
    this.#scores = new Float32Array(pieces.length);
    pieces.forEach((piece, id) => {
      if (piece.kind === "normal") this.#scores[id] = piece.score;
      // Longer than any sum of ordinary pieces over the same bytes, so that a user-defined piece always wins.
      else if (piece.kind === "user-defined") this.#scores[id] = Math.fround(utf8Size(piece.text) * highest) - 0.1;
      else return;
      this.#insert(piece.text, id);
    });
    if (byteFallback) {
      const byText = new Map(pieces.map((piece, id) => [piece.kind === "byte" ? piece.text : "", id]));
      const ids = Array.from({ length: 256 }, (_, byte) => byText.get(bytePiece(byte)) ?? unkId);
      this.#byteIds = ids;
    }
  }

  /**
   * Splits a text into pieces.
   *
   * @param text Text as the vocabulary spells it.
   * @returns Ids; adjacent unknown characters share one.
   */
  encode(text: string): number[] {
    const points = Array.from(text, (character) => character.codePointAt(0)!);
    const size = points.length;
    // The best path that ends at each place: where its last piece starts (-1: none yet), its id and the sum of scores.
    const start = new Int32Array(size + 1).fill(-1);
    const id = new Int32Array(size + 1);
    const score = new Float32Array(size + 1);
    const offer = (from: number, to: number, piece: number, candidate: number) => {
      if (start[to] >= 0 && candidate <= score[to]) return;
      start[to] = from;
      id[to] = piece;
      score[to] = candidate;
    };
    for (let from = 0; from < size; from++) {
      let known = false;
      for (let to = from, node = 0; to < size; to++) {
        const child = this.#edges.get(node * STRIDE + points[to]);
        if (child === undefined) break;
        node = child;
        const piece = this.#idAt[node];
        if (piece < 0) continue;
        if (to === from) known = true;
        offer(from, to + 1, piece, Math.fround(this.#scores[piece] + score[from]));
      }
      if (!known) offer(from, from + 1, this.#unkId, Math.fround(this.#unkScore + score[from]));
    }
    const reversed: [id: number, start: number, end: number][] = [];
    for (let end = size; end > 0; end = start[end]) reversed.push([id[end], start[end], end]);
    return this.#finish(points, reversed.reverse());
  }

  #insert(text: string, id: number): void {
    let node = 0;
    for (const character of text) {
      const key = node * STRIDE + character.codePointAt(0)!;
      let child = this.#edges.get(key);
      if (child === undefined) {
        child = this.#idAt.push(-1) - 1;
        this.#edges.set(key, child);
      }
      node = child;
    }
    if (node !== 0 && this.#idAt[node] < 0) this.#idAt[node] = id;
  }

  #finish(points: number[], path: [id: number, start: number, end: number][]): number[] {
    const ids: number[] = [];
    for (const [id, start, end] of path) {
      if (id !== this.#unkId) ids.push(id);
      else if (this.#byteIds) {
        const spelt = new TextEncoder().encode(String.fromCodePoint(...points.slice(start, end)));
        for (const byte of spelt) ids.push(this.#byteIds[byte]);
      } else if (ids[ids.length - 1] !== id) ids.push(id);
    }
    return ids;
  }
}

/** The text of the piece that stands for a byte, for example `<0x0A>`. */
export function bytePiece(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function utf8Size(text: string): number {
  return new TextEncoder().encode(text).length;
}
