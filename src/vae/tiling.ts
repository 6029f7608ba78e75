// Decoding and encoding in tiles: latents or a picture are cut into overlapping squares, each is taken alone, and the overlaps are
// blended linearly. The cut and the blend are diffusers', so that a tiled picture here is the tiled picture there.

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

/**
 * How long the tiles of an axis are.
 *
 * @param extent Latent pixels.
 * @returns The lengths in latent pixels, from the first tile to the last.
 */
export function tileLengths(extent: number, { tileLatentMinSize, tileOverlapFactor }: Tiling): number[] {
  const step = Math.max(1, Math.trunc(tileLatentMinSize * (1 - tileOverlapFactor)));
  return cut(extent, tileLatentMinSize, step).map(({ length }) => length);
}

/** Where on the canvas each tile of an axis goes, one behind the other, and how long the canvas is. */
function lineUp(lengths: readonly number[], limit: number): { places: Span[]; extent: number } {
  let extent = 0;
  const places = lengths.map((length) => {
    const place = { start: extent, length: Math.min(length, limit) };
    extent += place.length;
    return place;
  });
  return { places, extent };
}

/** How tiles are cut from what goes in, and how far what comes out overlaps; all in pixels of the one or the other. */
interface Cut {
  /** The side of a tile. */
  size: number;
  /** From one tile to the next. */
  step: number;
  /** The overlap of what comes out. */
  fade: number;
  /** What of a tile no later one fades in over. */
  limit: number;
}

/** The cut of tiles that are `size` a side, and `outSize` when they come out. */
function cutOf(verb: string, size: number, outSize: number, overlap: number): Cut {
  const step = Math.trunc(size * (1 - overlap));
  const fade = Math.trunc(outSize * overlap);
  const limit = outSize - fade;
  if (!(step >= 1 && limit >= 1 && fade >= 0)) {
    throw new UsageError(`Cannot ${verb} tiles of ${size} pixels as they must advance: ${overlap} of each overlaps`);
  }
  return { size, step, fade, limit };
}

/**
 * Takes an image through a network tile by tile. At most one row of tiles is alive beside the canvas, and one tile more.
 *
 * @param image [.., H, W, ..]; its two middle axes are cut.
 * @param network From one tile to its result [B, H', W', C'].
 * @param extentOf How long the result is of a side of so many pixels, told with the first result.
 */
function tiled(
  rec: Recorder,
  image: Tensor,
  { size, step, fade, limit }: Cut,
  network: (tile: Tensor) => Tensor,
  extentOf: (length: number, first: Tensor) => number,
): Tensor {
  const rows = cut(image.dim(1), size, step), columns = cut(image.dim(2), size, step);
  const resultAt = (row: Span, column: Span) => {
    const window = { top: row.start, left: column.start, height: row.length, width: column.length };
    return rec.scoped(() => network(crop(rec, image, window)));
  };
  const first = resultAt(rows[0], columns[0]);
  const lineUpOf = (spans: Span[]) => lineUp(spans.map(({ length }) => extentOf(length, first)), limit);
  const down = lineUpOf(rows), across = lineUpOf(columns);
  const canvas = rec.tensor([first.dim(0), down.extent, across.extent, first.dim(3)]);
  // The blended tiles of one row; each is replaced by the one below it.
  const line: Tensor[] = [];
  rows.forEach((row, i) => {
    columns.forEach((column, j) => {
      const above: Tensor | undefined = line[j];
      const tile = i + j === 0 ? first : resultAt(row, column);
      const { start: top, length: height } = down.places[i], { start: left, length: width } = across.places[j];
      blendTile(rec, canvas, tile, { above, left: line[j - 1], fade, place: { top, left, height, width } });
      above?.dispose();
      line[j] = tile;
      rec.flush(); // since all tiles together would take long
    });
  });
  for (const tile of line) tile.dispose();
  return canvas;
}

/**
 * Decodes latents tile by tile.
 *
 * @param latents [B, h, w, C]
 * @param decode Decodes one tile: [B, h', w', C] -> [B, H', W', 3].
 * @returns [B, H, W, 3] in the recorder's scope.
 * @throws {UsageError} when the tiles overlap so much that none follows the first.
 */
export function decodeTiled(
  rec: Recorder,
  latents: Tensor,
  { tileSampleMinSize, tileLatentMinSize, tileOverlapFactor }: Tiling,
  decode: (tile: Tensor) => Tensor,
): Tensor {
  const cut = cutOf("decode", tileLatentMinSize, tileSampleMinSize, tileOverlapFactor);
  // How much larger pixels are than latents shows in the first decoded tile.
  const side = Math.min(latents.dim(1), tileLatentMinSize);
  return tiled(rec, latents, cut, decode, (length, first) => length * first.dim(1) / side);
}

/**
 * Encodes an image tile by tile.
 *
 * @param image [B, C, H, W], as diffusers has it: tiles are cut before the channels are moved, so that no second image is needed.
 * @param scaleFactor Pixels that a latent pixel stands for, along one axis.
 * @param encode Encodes one tile: [B, C, H', W'] -> [B, h', w', 2 * latentChannels].
 * @returns [B, h, w, 2 * latentChannels] in the recorder's scope.
 * @throws {UsageError} when the tiles overlap so much that none follows the first.
 */
export function encodeTiled(
  rec: Recorder,
  image: Tensor,
  { tileSampleMinSize, tileLatentMinSize, tileOverlapFactor }: Tiling,
  scaleFactor: number,
  encode: (tile: Tensor) => Tensor,
): Tensor {
  const cut = cutOf("encode", tileSampleMinSize, tileLatentMinSize, tileOverlapFactor);
  const [batch, channels, height, width] = image.shape;
  return tiled(
    rec,
    image.view([batch * channels, height, width, 1]),
    cut,
    (planes) => encode(planes.view([batch, channels, planes.dim(1), planes.dim(2)])),
    (length) => Math.floor(length / scaleFactor),
  );
}
