// conv2d: 1x1 and 3x3 convolutions over channels-last images, with bias, residual and upsampling in the same kernel.

import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import { formatShape, type Tensor } from "../gpu/tensor.ts";
import { type ConvVariant, convVariant } from "./conv2d_variants.ts";
import { HALVES_DIVISOR, packHalves } from "./pack_halves.ts";
import { rowBands, rowRuns } from "./row_runs.ts";
import type { FloatDType } from "./weight_kernels.ts";

/** Rows and columns of zeros around an image, in pixels. */
export interface Padding {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** A convolution's geometry and what is fused with it. */
export interface Conv2dOptions {
  kernel: 1 | 3;
  stride: 1 | 2;
  padding: Padding;
  /** CO. */
  outChannels: number;
  /** [CO] f32. */
  bias?: Tensor;
  /** [B, HO, WO, CO] f32; the result is added to it in place. */
  addTo?: Tensor;
  /** Reads each pixel of `x` as 2 x 2 pixels. */
  upsample?: boolean;
  /** A kernel other than the fastest for this device; it must fit the channels. */
  variant?: ConvVariant;
}

/**
 * Convolves images.
 *
 * @param x [B, H, W, CI] f32.
 * @param w [kernel * kernel * CI, CO rounded up to 4] f32 or f16, made by `packWeight`.
 * @returns [B, HO, WO, CO] f32 in the recorder's scope; with `addTo`, that tensor.
 * @throws {ShapeError} when the weight, the bias or the residual does not fit, or the padded image is smaller than the kernel.
 */
export function conv2d(rec: Recorder, x: Tensor, w: Tensor, options: Conv2dOptions): Tensor {
  const { kernel, stride, padding, outChannels, bias, addTo, upsample = false } = options;
  if (x.dtype !== "f32" || x.shape.length !== 4 || x.size === 0) {
    throw new ShapeError(`Cannot convolve ${x} as it must be f32 [B, H, W, C] with elements: it is not`);
  }
  const [samples, inHeight, inWidth, channels] = x.shape;
  const weightShape = [kernel * kernel * channels, Math.ceil(outChannels / 4) * 4];
  if ((w.dtype !== "f32" && w.dtype !== "f16") || formatShape(w.shape) !== formatShape(weightShape)) {
    throw new ShapeError(`Cannot convolve ${x} as its packed weight must be floats ${formatShape(weightShape)}: ${w}`);
  }
  if (bias && (bias.dtype !== "f32" || bias.size < outChannels)) {
    throw new ShapeError(
      `Cannot convolve ${x} to ${outChannels} channels as the bias must be f32[${outChannels}]: ${bias}`,
    );
  }
  const [height, width] = upsample ? [inHeight * 2, inWidth * 2] : [inHeight, inWidth];
  const outHeight = Math.floor((height + padding.top + padding.bottom - kernel) / stride) + 1;
  const outWidth = Math.floor((width + padding.left + padding.right - kernel) / stride) + 1;
  if (outHeight < 1 || outWidth < 1) {
    throw new ShapeError(
      `Cannot convolve ${x} as a ${kernel}x${kernel} kernel must fit into the padded image: too small`,
    );
  }
  const outShape = [samples, outHeight, outWidth, outChannels];
  if (addTo && (addTo.dtype !== "f32" || formatShape(addTo.shape) !== formatShape(outShape))) {
    throw new ShapeError(`Cannot convolve ${x} as the residual must be f32${formatShape(outShape)}: ${addTo}`);
  }
  const y = addTo ?? rec.tensor(outShape);
  const { device } = rec;
  const scale = upsample ? 2 : 1;
  const columns4 = w.dim(-1) / 4;
  const dtype = w.dtype as FloatDType;
  const traits = { inChannels: channels, outChannels, outputs: samples * outHeight * outWidth, dtype };
  const { kernels, constants, halves, ...tile } = options.variant ?? convVariant(device, traits);
  const source = kernels[dtype];
  if (!source) throw new ShapeError(`Cannot convolve ${x} by ${w} as the kernel must take such weights: it does not`);
  const convolve = (x: Tensor, y: Tensor, samples: number, outHeight: number, top: number) => {
    using _scope = rec.scope();
    const rows = samples * outHeight * outWidth;
    const input = halves ? packHalves(rec, x, { zeroRows: 1 }) : x;
    rec.dispatch(device.kernel(source, { ...constants, HAS_BIAS: !!bias }), {
      bindings: [input, w, bias, y],
      params: {
        rows,
        depth: kernel * kernel * channels,
        columns: outChannels,
        columns4,
        column_groups: tile.columnGroups(columns4),
        height: x.size / samples / inWidth / channels * scale,
        width,
        channels,
        out_height: outHeight,
        out_width: outWidth,
        kernel,
        stride,
        upsample: upsample ? 1 : 0,
        top,
        left: padding.left,
        add: addTo ? 1 : 0,
        padding_at: x.size,
        x_range: halves ? HALVES_DIVISOR : 1,
      },
      groups: linearGroups(tile.groups(rows, columns4)),
    });
  };
  if (rowRuns(device, Math.max(x.size, y.size), [1]).length <= 1) {
    convolve(x, y, samples, outHeight, padding.top);
    return y;
  }
  // Bands of the result, each from the rows of x that it sees: images of their own, whose padding moves with them.
  const [inRow, outRow] = [inWidth * channels, outWidth * outChannels];
  const reach = (first: number, end: number) =>
    [
      Math.floor((first * stride - padding.top) / scale),
      Math.ceil(((end - 1) * stride - padding.top + kernel) / scale),
    ] as const;
  for (let sample = 0; sample < samples; sample++) {
    for (
      const { first, count, from, height } of rowBands(
        device,
        outHeight,
        outRow,
        { rows: inHeight, width: inRow },
        reach,
      )
    ) {
      const rows = x.view([height, inWidth, channels], (sample * inHeight + from) * inRow);
      const out = y.view([count, outWidth, outChannels], (sample * outHeight + first) * outRow);
      convolve(rows, out, 1, count, padding.top + from * scale - first * stride);
    }
  }
  return y;
}
