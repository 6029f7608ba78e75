// Decoding in tiles: latents are cut into overlapping squares, each is decoded alone, and the overlaps are blended linearly.
// The cut and the blend are diffusers', so that a tiled picture here is the tiled picture there.

import { UsageError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { blendTile, crop } from "../ops/tile.ts";

/** How an image is tiled; names are diffusers'. */
export interface Tiling {
  /** Pixels a side of a tile. */
  tileSampleMinSize: number;
  /** Latent pixels a side of a tile. */
  tileLatentMinSize: number;
  /** The share of a tile that it shares with the next. */
  tileOverlapFactor: number;
}

/** diffusers' tiling of a VAE trained at `sampleSize` pixels. */
export function defaultTiling(sampleSize: number, scaleFactor: number): Tiling {
  return {
    tileSampleMinSize: sampleSize,
    tileLatentMinSize: Math.floor(sampleSize / scaleFactor),
    tileOverlapFactor: 0.25,
  };
}

/** A run of pixels along one axis. */
interface Span {
  start: number;
  length: number;
}

/** Cuts an axis: one span every `step`, `size` long where the axis is. The last may lie inside the one before it. */
function cut(extent: number, size: number, step: number): Span[] {
  const spans: Span[] = [];
  for (let start = 0; start < extent; start += step) spans.push({ start, length: Math.min(size, extent - start) });
  return spans;
}

/** Where on the canvas each tile of an axis goes, one behind the other, and how long the canvas is. */
function lineUp(spans: Span[], scale: number, limit: number): { places: Span[]; extent: number } {
  let extent = 0;
  const places = spans.map(({ length }) => {
    const place = { start: extent, length: Math.min(length * scale, limit) };
    extent += place.length;
    return place;
  });
  return { places, extent };
}

/** Latent pixels from one tile to the next, pixels of overlap, and pixels of a tile that no later one fades in over. */
function steps({ tileSampleMinSize, tileLatentMinSize, tileOverlapFactor }: Tiling) {
  const step = Math.trunc(tileLatentMinSize * (1 - tileOverlapFactor));
  const fade = Math.trunc(tileSampleMinSize * tileOverlapFactor);
  const limit = tileSampleMinSize - fade;
  if (!(step >= 1 && limit >= 1 && fade >= 0)) {
    throw new UsageError(
      `Cannot tile by ${tileLatentMinSize} latent pixels as tiles must advance: ${tileOverlapFactor} of each overlaps`,
    );
  }
  return { step, fade, limit };
}

/**
 * Decodes latents tile by tile. At most one row of decoded tiles is alive beside the canvas, and one tile more.
 *
 * @param latents [B, h, w, C]
 * @param decode Decodes one tile: [B, h', w', C] -> [B, H', W', 3].
 * @returns [B, H, W, 3] in the recorder's scope.
 * @throws {UsageError} when the tiles overlap so much that none follows the first.
 */
export function decodeTiled(
  rec: Recorder,
  latents: Tensor,
  tiling: Tiling,
  decode: (tile: Tensor) => Tensor,
): Tensor {
  const { step, fade, limit } = steps(tiling);
  const [batch, height, width] = latents.shape;
  const rows = cut(height, tiling.tileLatentMinSize, step), columns = cut(width, tiling.tileLatentMinSize, step);
  const decodeAt = (row: Span, column: Span) => {
    const window = { top: row.start, left: column.start, height: row.length, width: column.length };
    return rec.scoped(() => decode(crop(rec, latents, window)));
  };

  // How much larger pixels are than latents shows in the first decoded tile, and so does the number of channels.
  const first = decodeAt(rows[0], columns[0]);
  const scale = first.dim(1) / rows[0].length;
  const down = lineUp(rows, scale, limit), across = lineUp(columns, scale, limit);
  const canvas = rec.tensor([batch, down.extent, across.extent, first.dim(3)]);
  // The blended tiles of one row; each is replaced by the one below it.
  const line: Tensor[] = [];
  rows.forEach((row, i) => {
    columns.forEach((column, j) => {
      const above: Tensor | undefined = line[j];
      const tile = i + j === 0 ? first : decodeAt(row, column);
      const { start: top, length: height } = down.places[i], { start: left, length: width } = across.places[j];
      blendTile(rec, canvas, tile, { above, left: line[j - 1], fade, place: { top, left, height, width } });
      above?.dispose();
      line[j] = tile;
    });
  });
  for (const tile of line) tile.dispose();
  return canvas;
}
