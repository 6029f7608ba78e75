// The embedding rows of texts, read from the checkpoint as texts need them: the table of T5-XXL is a quarter of a gigabyte, of which a
// prompt takes a few hundred rows. In: token ids. Out: the rows that occur, and which of them each token takes.

import { ShapeError } from "../errors.ts";
import { floatsOf, type WeightSource } from "../io/weights.ts";

/** The embedding rows of a text, read from the checkpoint. */
export interface EmbeddingRows {
  /** [U, C] the rows that occur. */
  rows: Float32Array;
  /** [B * L] which of them each token takes. */
  indices: Uint32Array;
}

/**
 * Reads the rows of a table that ids need, each once.
 *
 * @param name The table [vocabulary, C] in the checkpoint.
 * @throws {ShapeError} when an id is outside the vocabulary.
 */
export async function readEmbeddingRows(
  source: WeightSource,
  name: string,
  inputIds: ArrayLike<number>,
): Promise<EmbeddingRows> {
  const { dtype, byteLength, shape: [vocabulary, width] } = source.info(name);
  const unique = [...new Set(Array.from(inputIds))];
  const wrong = unique.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (wrong !== undefined) {
    throw new ShapeError(`Cannot embed token ${wrong} as ids must be below the vocabulary's ${vocabulary}`);
  }
  const rowBytes = byteLength / vocabulary;
  const rows = new Float32Array(unique.length * width);
  await Promise.all(unique.map(async (id, i) => {
    const bytes = await source.read(name, id * rowBytes, (id + 1) * rowBytes);
    rows.set(floatsOf(dtype, bytes), i * width);
  }));
  const place = new Map(unique.map((id, i) => [id, i]));
  return { rows, indices: Uint32Array.from(inputIds, (id) => place.get(id)!) };
}
