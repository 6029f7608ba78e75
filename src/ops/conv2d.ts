// conv2d: 1x1 and 3x3 convolutions over channels-last images, with bias, residual and upsampling in the same kernel.

import commonSource from "../../shaders/conv2d_common.wgsl" with { type: "text" };
import source from "../../shaders/conv2d.wgsl" with { type: "text" };
import wideSource from "../../shaders/conv2d_wide.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Constants, KernelSource } from "../gpu/kernel.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import { formatShape, type Tensor } from "../gpu/tensor.ts";
import { rowBands, rowRuns } from "./row_runs.ts";
import { type FloatDType, forWeights } from "./weight_kernels.ts";

const PORTABLE = forWeights({ name: "conv2d", source, shared: [commonSource] });
const WIDE = forWeights({ name: "conv2d_wide", source: wideSource, shared: [commonSource], features: ["subgroups"] });

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
  /** Runs the kernel that needs no features; for comparison. */
  portable?: boolean;
}

/** A kernel for each type of weights, its own constants, and the workgroups that cover the outputs. */
interface Variant {
  kernels: Record<FloatDType, KernelSource>;
  constants: Constants;
  groups: number;
}

function variantFor(
  device: Device,
  outputs: number,
  inChannels: number,
  { outChannels, portable }: Conv2dOptions,
): Variant {
  const columns = Math.ceil(outChannels / 4);
  // The wide kernel makes 32 channels at a time; few channels would leave most of its lanes idle.
  if (device.subgroupSize === 8 && !portable && inChannels % 4 === 0 && outChannels % 4 === 0 && columns >= 4) {
    // Mesa 22, told by this limit of its lavapipe, reaches arrays of sums slowly: there 8 outputs are twice as fast as 32.
    const tiles = device.limits.maxStorageBuffersPerShaderStage === 32 ? 1 : 4;
    const groups = Math.ceil(outputs / (8 * tiles)) * Math.ceil(columns / 8);
    return { kernels: WIDE, constants: { TILES: tiles }, groups };
  }
  return { kernels: PORTABLE, constants: {}, groups: Math.ceil(Math.ceil(outputs / 8) * columns / 64) };
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
  const convolve = (x: Tensor, y: Tensor, samples: number, outHeight: number, top: number) => {
    const outputs = samples * outHeight * outWidth;
    const { kernels, constants, groups } = variantFor(device, outputs, channels, options);
    rec.dispatch(device.kernel(kernels[w.dtype as FloatDType], { ...constants, HAS_BIAS: !!bias }), {
      bindings: [x, w, bias, y],
      params: {
        height: x.size / samples / inWidth / channels * scale,
        width,
        channels,
        out_height: outHeight,
        out_width: outWidth,
        out_channels: outChannels,
        outputs,
        kernel,
        stride,
        upsample: upsample ? 1 : 0,
        top,
        left: padding.left,
        add: addTo ? 1 : 0,
      },
      groups: linearGroups(groups),
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
