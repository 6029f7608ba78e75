// The 2-D sine-cosine position embedding of the image tokens, for any grid. Plain numbers; uploaded once a picture.

/**
 * Position embedding of a token grid (REFERENCE P01): the first half of the channels encodes the column, the second the row,
 * each half as [sin, cos].
 *
 * @param gridHeight Tokens down.
 * @param gridWidth Tokens across.
 * @param width Channels C, a multiple of 4.
 * @param baseSize Tokens a side of the grid that the checkpoint was trained for.
 * @param interpolationScale Divides the positions.
 * @returns [gridHeight * gridWidth, C], row by row.
 */
export function positionEmbedding(
  gridHeight: number,
  gridWidth: number,
  width: number,
  baseSize: number,
  interpolationScale: number,
): Float32Array {
  const quarter = width / 4;
  const frequencies = Float64Array.from({ length: quarter }, (_, i) => 10000 ** (-i / quarter));
  // Positions are f32 in the reference, their angles f64.
  const positions = (cells: number) =>
    Array.from(
      { length: cells },
      (_, i) => Math.fround(Math.fround(i / Math.fround(cells / baseSize)) / interpolationScale),
    );
  const rows = positions(gridHeight), columns = positions(gridWidth);
  const embedding = new Float32Array(gridHeight * gridWidth * width);
  for (let y = 0; y < gridHeight; y++) {
    for (let x = 0; x < gridWidth; x++) {
      const at = (y * gridWidth + x) * width;
      for (let i = 0; i < quarter; i++) {
        const across = columns[x] * frequencies[i], down = rows[y] * frequencies[i];
        embedding[at + i] = Math.sin(across);
        embedding[at + quarter + i] = Math.cos(across);
        embedding[at + 2 * quarter + i] = Math.sin(down);
        embedding[at + 3 * quarter + i] = Math.cos(down);
      }
    }
  }
  return embedding;
}
