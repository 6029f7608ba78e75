// conv2d: 1x1 and 3x3 convolutions over channels-last images, with bias, residual and upsampling in the same kernel.

import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import { elementCount, formatShape, type Tensor } from "../gpu/tensor.ts";
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

/** A convolution's geometry. */
export interface ConvGeometry {
  kernel: 1 | 3;
  stride: 1 | 2;
  padding: Padding;
  /** CO. */
  outChannels: number;
  /** Reads each pixel of `x` as 2 x 2 pixels. */
  upsample?: boolean;
}

/** A convolution's geometry and what is fused with it. */
export interface Conv2dOptions extends ConvGeometry {
  /** [B, H, W, CI], what x shows; the shape of x when not given. */
  image?: readonly number[];
  /** [CO] f32. */
  bias?: Tensor;
  /** [B, HO, WO, CO] f32; the result is added to it in place. */
  addTo?: Tensor;
  /** A kernel other than the fastest for this device; it must fit the channels. */
  variant?: ConvVariant;
}

/** [B, HO, WO, CO] of a convolution of [B, H, W, CI]. */
function outShapeOf([samples, height, width]: readonly number[], geometry: ConvGeometry): number[] {
  const { kernel, stride, padding, outChannels, upsample } = geometry;
  const scale = upsample ? 2 : 1;
  const along = (extent: number, around: number) => Math.floor((extent * scale + around - kernel) / stride) + 1;
  return [
    samples,
    along(height, padding.top + padding.bottom),
    along(width, padding.left + padding.right),
    outChannels,
  ];
}

function variantFor(device: Device, inChannels: number, outShape: readonly number[], w: Tensor): ConvVariant {
  const [samples, height, width, outChannels] = outShape;
  const dtype = w.dtype as FloatDType;
  return convVariant(device, { inChannels, outChannels, outputs: samples * height * width, dtype });
}

/** Whether one binding holds x, and one y. */
function isWhole(device: Device, ...shapes: (readonly number[])[]): boolean {
  return rowRuns(device, Math.max(...shapes.map(elementCount)), [1]).length <= 1;
}

/**
 * Whether the fastest kernel for a convolution takes x as halves.
 *
 * @param image [B, H, W, CI], the extents of x.
 */
export function convTakesHalves(device: Device, image: readonly number[], w: Tensor, geometry: ConvGeometry): boolean {
  const outShape = outShapeOf(image, geometry);
  return variantFor(device, image[3], outShape, w).halves === true && isWhole(device, image, outShape);
}

/**
 * Convolves images.
 *
 * @param x [B, H, W, CI] f32; or, where `convTakesHalves` says so, [B * H * W + 1, CI] f16 with zeros in the last pixel, and `image`.
 * @param w [kernel * kernel * CI, CO rounded up to 4] f32 or f16, made by `packWeight`.
 * @returns [B, HO, WO, CO] f32 in the recorder's scope; with `addTo`, that tensor.
 * @throws {ShapeError} when x, the weight, the bias or the residual does not fit, or the padded image is smaller than the kernel.
 */
export function conv2d(rec: Recorder, x: Tensor, w: Tensor, options: Conv2dOptions): Tensor {
  const { kernel, stride, padding, outChannels, bias, addTo, upsample = false, image = x.shape } = options;
  const [samples, inHeight, inWidth, channels] = image;
  const size = elementCount(image), isHalves = x.dtype === "f16";
  if (
    image.length !== 4 || size === 0 || !["f32", "f16"].includes(x.dtype) || x.size !== size + (isHalves ? channels : 0)
  ) {
    throw new ShapeError(
      `Cannot convolve ${x} as it must be f32 [B, H, W, C] with elements, or f16 [B * H * W + 1, C]: ` +
        `of ${formatShape(image)} it is neither`,
    );
  }
  const weightShape = [kernel * kernel * channels, Math.ceil(outChannels / 4) * 4];
  if ((w.dtype !== "f32" && w.dtype !== "f16") || formatShape(w.shape) !== formatShape(weightShape)) {
    throw new ShapeError(`Cannot convolve ${x} as its packed weight must be floats ${formatShape(weightShape)}: ${w}`);
  }
  if (bias && (bias.dtype !== "f32" || bias.size < outChannels)) {
    throw new ShapeError(
      `Cannot convolve ${x} to ${outChannels} channels as the bias must be f32[${outChannels}]: ${bias}`,
    );
  }
  const outShape = outShapeOf(image, options);
  const [, outHeight, outWidth] = outShape;
  if (outHeight < 1 || outWidth < 1) {
    throw new ShapeError(
      `Cannot convolve ${x} as a ${kernel}x${kernel} kernel must fit into the padded image: too small`,
    );
  }
  if (addTo && (addTo.dtype !== "f32" || formatShape(addTo.shape) !== formatShape(outShape))) {
    throw new ShapeError(`Cannot convolve ${x} as the residual must be f32${formatShape(outShape)}: ${addTo}`);
  }
  const y = addTo ?? rec.tensor(outShape);
  const { device } = rec;
  const scale = upsample ? 2 : 1;
  const columns4 = w.dim(-1) / 4;
  const { kernels, constants, halves, ...tile } = options.variant ?? variantFor(device, channels, outShape, w);
  const source = kernels[w.dtype as FloatDType];
  const whole = isWhole(device, image, outShape);
  if (!source || (isHalves && !(halves && whole))) {
    throw new ShapeError(`Cannot convolve ${x} by ${w} as the kernel must take such operands: it does not`);
  }
  const convolve = (x: Tensor, y: Tensor, [samples, inHeight, outHeight]: number[], top: number) => {
    using _scope = rec.scope();
    const rows = samples * outHeight * outWidth;
    const packed = halves && !isHalves;
    const input = packed ? packHalves(rec, x, { zeroRows: 1 }) : x;
    rec.dispatch(device.kernel(source, { ...constants, HAS_BIAS: !!bias }), {
      bindings: [input, w, bias, y],
      params: {
        rows,
        depth: kernel * kernel * channels,
        columns: outChannels,
        columns4,
        column_groups: tile.columnGroups(columns4),
        height: inHeight * scale,
        width: inWidth * scale,
        channels,
        out_height: outHeight,
        out_width: outWidth,
        kernel,
        stride,
        upsample: upsample ? 1 : 0,
        top,
        left: padding.left,
        add: addTo ? 1 : 0,
        padding_at: samples * inHeight * inWidth * channels,
        x_range: packed ? HALVES_DIVISOR : 1,
      },
      groups: linearGroups(tile.groups(rows, columns4)),
    });
  };
  if (whole) {
    convolve(x, y, [samples, inHeight, outHeight], padding.top);
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
      convolve(rows, out, [1, height, count], padding.top + from * scale - first * stride);
    }
  }
  return y;
}
