// unpatchify: one row for each patch becomes an image of latents again; patchify's way back, but for the order in a row.

import source from "../../shaders/unpatchify.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "unpatchify", source };

/** What the patches make up. */
export interface UnpatchifyOptions {
  /** Pixels a side of a patch. */
  patchSize: number;
  /** Of the latents. */
  height: number;
  /** Of the latents. */
  width: number;
  /** How many channels are kept, from the first. */
  channels: number;
}

/**
 * Puts patches together.
 *
 * @param tokens [B, h w / p², p² Cout] f32; the last axis runs over row, column, channel.
 * @returns [B, channels, h, w] f32 in the recorder's scope.
 * @throws {ShapeError} when the tokens are not the patches of such an image, or have too few channels.
 */
export function unpatchify(rec: Recorder, tokens: Tensor, options: UnpatchifyOptions): Tensor {
  const { patchSize, height, width, channels } = options;
  const [batch, count, row] = tokens.shape;
  const gridHeight = height / patchSize, gridWidth = width / patchSize;
  const tokenChannels = row / patchSize ** 2;
  if (tokens.dtype !== "f32" || tokens.shape.length !== 3 || !Number.isInteger(tokenChannels)) {
    throw new ShapeError(
      `Cannot unpatchify ${tokens} as it must be f32 [B, N, C] with C a multiple of ${patchSize ** 2}: it is not`,
    );
  }
  if (!Number.isInteger(gridHeight) || !Number.isInteger(gridWidth) || gridHeight * gridWidth !== count) {
    throw new ShapeError(
      `Cannot unpatchify ${tokens} as its tokens must be the patches of ${height} by ${width} latents: ` +
        `patches are ${patchSize} by ${patchSize}`,
    );
  }
  if (!Number.isInteger(channels) || channels < 1 || channels > tokenChannels) {
    throw new ShapeError(`Cannot unpatchify ${tokens} as it has ${tokenChannels} channels: ${channels} are asked for`);
  }
  const y = rec.tensor([batch, channels, height, width]);
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [tokens, y],
    params: {
      total: y.size,
      channels,
      token_channels: tokenChannels,
      grid_height: gridHeight,
      grid_width: gridWidth,
      side: patchSize,
    },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}
