// The 2-D sine-cosine position embedding of the image tokens, for any grid. Plain numbers; uploaded once a picture.

/** What stands for a token's place: half of the channels for its row, half for its column. */
export interface PositionTables {
  /** [gridHeight, C / 2] */
  rows: Float32Array;
  /** [gridWidth, C / 2] */
  columns: Float32Array;
}

/**
 * Position embedding of a token grid (REFERENCE P01): the first half of the channels encodes the column, the second the row,
 * each half as [sin, cos].
 *
 * @param gridHeight Tokens down.
 * @param gridWidth Tokens across.
 * @param width Channels C, a multiple of 4.
 * @param baseSize Tokens a side of the grid that the checkpoint was trained for.
 * @param interpolationScale Divides the positions.
 */
export function positionTables(
  gridHeight: number,
  gridWidth: number,
  width: number,
  baseSize: number,
  interpolationScale: number,
): PositionTables {
  const quarter = width / 4;
  const frequencies = Float64Array.from({ length: quarter }, (_, i) => 10000 ** (-i / quarter));
  const table = (cells: number) => {
    const embedding = new Float32Array(cells * 2 * quarter);
    for (let cell = 0; cell < cells; cell++) {
      // Positions are f32 in the reference, their angles f64.
      const position = Math.fround(Math.fround(cell / Math.fround(cells / baseSize)) / interpolationScale);
      for (let i = 0; i < quarter; i++) {
        const angle = position * frequencies[i];
        embedding[cell * 2 * quarter + i] = Math.sin(angle);
        embedding[cell * 2 * quarter + quarter + i] = Math.cos(angle);
      }
    }
    return embedding;
  };
  return { rows: table(gridHeight), columns: table(gridWidth) };
}

/**
 * The same as one table, as older checkpoints store it.
 *
 * @returns [gridHeight * gridWidth, C], row by row.
 */
export function positionEmbedding(...extents: Parameters<typeof positionTables>): Float32Array {
  const [gridHeight, gridWidth, width] = extents;
  const { rows, columns } = positionTables(...extents);
  const half = width / 2;
  const embedding = new Float32Array(gridHeight * gridWidth * width);
  for (let token = 0; token < gridHeight * gridWidth; token++) {
    const column = token % gridWidth, row = (token - column) / gridWidth;
    embedding.set(columns.subarray(column * half, (column + 1) * half), token * width);
    embedding.set(rows.subarray(row * half, (row + 1) * half), token * width + half);
  }
  return embedding;
}
