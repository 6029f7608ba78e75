// downsampleTokens: fewer tokens of a grid, by picking or by a convolution: PixArt-Σ's compression of keys and values.

import source from "../../shaders/downsample_tokens.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "downsample_tokens", source };

/** How a grid of tokens is thinned. */
export interface DownsampleOptions {
  /** Tokens down and across. */
  height: number;
  width: number;
  /** S: every S-th token along an axis. */
  factor: number;
  /** `grid` thins both axes; `sequence` thins the tokens in reading order. */
  along: "grid" | "sequence";
  /** A depthwise convolution of S x S in place of picking: weight [C, 1, S, S], bias [C]. Only along the grid. */
  convolution?: { weight: Tensor; bias: Tensor };
}

/**
 * Thins a grid of tokens.
 *
 * @param x [B, h * w, C] f32.
 * @returns [B, floor(h / S) * floor(w / S), C], or [B, ceil(N / S), C] in reading order, in the recorder's scope.
 * @throws {ShapeError} when the tokens are not that grid, it is smaller than S, or the convolution has another extent.
 */
export function downsampleTokens(rec: Recorder, x: Tensor, options: DownsampleOptions): Tensor {
  const { height, width, factor, along, convolution } = options;
  const [batch, tokens, channels] = x.shape;
  if (x.dtype !== "f32" || x.shape.length !== 3 || tokens !== height * width) {
    throw new ShapeError(`Cannot downsample ${x} as it must be f32 [B, ${height} * ${width}, C]: another shape`);
  }
  const grid = along === "grid";
  const outWidth = grid ? Math.floor(width / factor) : 0;
  const outTokens = grid ? Math.floor(height / factor) * outWidth : Math.ceil(tokens / factor);
  if (!Number.isInteger(factor) || factor < 1 || outTokens < 1) {
    throw new ShapeError(`Cannot downsample ${x} by ${factor} as a token must remain: ${height}x${width} tokens`);
  }
  if (
    convolution && (!grid || convolution.weight.size !== channels * factor ** 2 || convolution.bias.size !== channels)
  ) {
    throw new ShapeError(
      `Cannot downsample ${x} by convolution as weight and bias must be [${channels}, 1, ${factor}, ${factor}] and ` +
        `[${channels}]: ${convolution.weight} and ${convolution.bias}`,
    );
  }
  const y = rec.tensor([batch, outTokens, channels]);
  rec.dispatch(rec.device.kernel(KERNEL, { GRID: grid, CONVOLVE: convolution !== undefined }), {
    bindings: [x, convolution?.weight, convolution?.bias, y],
    params: { total: y.size, channels, tokens, width, out_tokens: outTokens, out_width: outWidth, factor },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}
