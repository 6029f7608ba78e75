// crop and blendTile: the way from a whole to overlapping tiles, and back to a whole without seams.

import blendSource from "../../shaders/blend_tile.wgsl" with { type: "text" };
import cropSource from "../../shaders/crop.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { alignedRows, rowRuns } from "./row_runs.ts";

const CROP = { name: "crop", source: cropSource };
const BLEND = { name: "blend_tile", source: blendSource };

/** A window of an image, in pixels. */
export interface Window {
  top: number;
  left: number;
  height: number;
  width: number;
}

/** Whether a window lies inside an image of this size. */
function fits({ top, left, height, width }: Window, imageHeight: number, imageWidth: number): boolean {
  const whole = [top, left, height, width].every((value) => Number.isInteger(value) && value >= 0);
  return whole && top + height <= imageHeight && left + width <= imageWidth;
}

function checkImage(verb: string, x: Tensor): void {
  if (x.dtype !== "f32" || x.shape.length !== 4) {
    throw new ShapeError(`Cannot ${verb} ${x} as it must be f32 [B, H, W, C]: it is not`);
  }
}

/** `count` lines of [B, H, W, C], counted through the batch, as [1, H', W, C]; some before them, so that a binding may begin there. */
function linesOf(x: Tensor, first: number, count: number): { rows: Tensor; before: number } {
  const [, , width, channels] = x.shape;
  const before = first % alignedRows(width * channels);
  const rows = x.view([1, before + count, width, channels], (first - before) * width * channels);
  return { rows, before };
}

/**
 * Cuts a window out of an image.
 *
 * @param x [B, H, W, C] f32.
 * @returns [B, height, width, C] f32 in the recorder's scope.
 * @throws {ShapeError} when `x` is no such image, or the window does not lie inside it.
 */
export function crop(rec: Recorder, x: Tensor, window: Window): Tensor {
  checkImage("crop", x);
  const [batch, inHeight, inWidth, channels] = x.shape;
  const { top, left, height, width } = window;
  if (!fits(window, inHeight, inWidth)) {
    throw new ShapeError(
      `Cannot crop ${x} as the window must lie inside: it is ${height} by ${width} from ${top}, ${left} on`,
    );
  }
  const y = rec.tensor([batch, height, width, channels]);
  const cut = (from: Tensor, to: Tensor, top: number) =>
    rec.dispatch(rec.device.kernel(CROP), {
      bindings: [from, to],
      params: { total: to.size, in_height: from.dim(1), in_width: inWidth, channels, height, width, top, left },
      groups: linearGroups(Math.ceil(to.size / 64)),
    });
  if (rowRuns(rec.device, x.size, [1]).length <= 1) {
    cut(x, y, top);
    return y;
  }
  // Of an image that a binding cannot hold, the rows of the window; each sample's result begins where a binding may.
  const size = height * width * channels;
  for (let sample = 0; sample < batch; sample++) {
    using _scope = rec.scope();
    const { rows, before } = linesOf(x, sample * inHeight + top, height);
    const one = rec.tensor([1, height, width, channels]);
    cut(rows, one, before);
    rec.copy(one, y.view(one.shape, sample * size));
  }
  return y;
}

/** Where a tile goes and what it overlaps. */
export interface BlendTileOptions {
  /** [B, Ha, W, C] the blended tile above, whose last rows are those of the overlap; none in the first row of tiles. */
  above?: Tensor;
  /** [B, H, Wl, C] the blended tile to the left, whose last columns are those of the overlap; none in the first column. */
  left?: Tensor;
  /** Pixels over which the tile fades in, at most; no more than both tiles have. */
  fade: number;
  /** The place on the canvas, and how many of the tile's first rows and columns go there. */
  place: Window;
}

/**
 * Fades a tile in over its neighbours, in place, and puts the part of it that no later tile fades in over on the canvas.
 *
 * @param canvas [B, H', W', C] f32; written inside `place` only.
 * @param tile [B, H, W, C] f32; blended in place.
 * @throws {ShapeError} when the tiles are not neighbours of equal sizes, or the place is not on the canvas.
 */
export function blendTile(rec: Recorder, canvas: Tensor, tile: Tensor, options: BlendTileOptions): void {
  const { above, left, fade, place } = options;
  checkImage("blend", tile);
  checkImage("blend onto", canvas);
  const [batch, height, width, channels] = tile.shape;
  const neighbours: [string, Tensor | undefined, number][] = [["above", above, 1], ["to the left of", left, 2]];
  for (const [where, neighbour, axis] of neighbours) {
    if (!neighbour) continue;
    checkImage("blend", neighbour);
    if (neighbour.shape.some((extent, i) => i !== axis && extent !== tile.shape[i])) {
      throw new ShapeError(`Cannot blend ${tile} as the tile ${where} it must have a side of its length: ${neighbour}`);
    }
  }
  const [canvasBatch, canvasHeight, canvasWidth, canvasChannels] = canvas.shape;
  if (!Number.isInteger(fade) || fade < 0) {
    throw new ShapeError(`Cannot blend ${tile} as it must fade in over a whole number of pixels: ${fade}`);
  }
  const onCanvas = fits(place, canvasHeight, canvasWidth) && place.height <= height && place.width <= width;
  if (!onCanvas || canvasBatch !== batch || canvasChannels !== channels) {
    throw new ShapeError(
      `Cannot blend ${tile} onto ${canvas} as its part must lie on both: it is ${place.height} by ${place.width} from ` +
        `${place.top}, ${place.left} on`,
    );
  }
  const { device } = rec;
  const blend = (sample: number, samples: number, onto: Tensor, top: number) => {
    const of = (x: Tensor | undefined) => {
      if (!x || samples === batch) return x;
      const size = x.size / batch;
      return x.view([1, ...x.shape.slice(1)], sample * size);
    };
    rec.dispatch(device.kernel(BLEND), {
      bindings: [of(above), of(left), of(tile), onto],
      params: {
        total: tile.size / batch * samples,
        height,
        width,
        channels,
        above_height: above?.dim(1) ?? 0,
        left_width: left?.dim(2) ?? 0,
        fade_down: above ? Math.min(fade, above.dim(1), height) : 0,
        fade_right: left ? Math.min(fade, left.dim(2), width) : 0,
        canvas_height: canvasHeight,
        canvas_width: canvasWidth,
        canvas_top: top,
        canvas_left: place.left,
        kept_height: place.height,
        kept_width: place.width,
      },
      groups: linearGroups(Math.ceil(tile.size / batch * samples / 64)),
    });
  };
  if (rowRuns(device, canvas.size, [1]).length <= 1) return blend(0, batch, canvas, place.top);
  // Of a canvas that a binding cannot hold, the rows that are written.
  for (let sample = 0; sample < batch; sample++) {
    const { rows, before } = linesOf(canvas, sample * canvasHeight + place.top, place.height);
    blend(sample, 1, rows, before);
  }
}
