// The encoder: an image [B, H, W, 3] becomes the moments of its latents [B, h, w, 8]: means, then log-variances.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "../layers/conv2d.ts";
import type { ParameterSet } from "../layers/parameters.ts";
import { Downsample, type ImageBlock, midBlock, outNorm, ResnetBlock, runBlocks } from "./blocks.ts";
import type { AutoencoderConfig } from "./config.ts";

/** From pixels to moments. */
export class Encoder {
  readonly #blocks: ImageBlock[];

  constructor(parameters: ParameterSet, config: AutoencoderConfig) {
    const { blockOutChannels, latentChannels, layersPerBlock, normNumGroups } = config;
    const moments = 2 * latentChannels;
    let inChannels = blockOutChannels[0];
    this.#blocks = [new Conv2d(parameters, "encoder.conv_in", config.inChannels, inChannels, { kernel: 3 })];
    blockOutChannels.forEach((width, i) => {
      const name = `encoder.down_blocks.${i}`;
      for (let j = 0; j < layersPerBlock; j++) {
        this.#blocks.push(new ResnetBlock(parameters, `${name}.resnets.${j}`, inChannels, width, normNumGroups));
        inChannels = width;
      }
      const last = i === blockOutChannels.length - 1;
      if (!last) this.#blocks.push(new Downsample(parameters, `${name}.downsamplers.0`, width));
    });
    this.#blocks.push(...midBlock(parameters, "encoder.mid_block", config));
    this.#blocks.push(outNorm(parameters, "encoder.conv_norm_out", inChannels, normNumGroups));
    this.#blocks.push(new Conv2d(parameters, "encoder.conv_out", inChannels, moments, { kernel: 3 }));
    if (config.useQuantConv) this.#blocks.push(new Conv2d(parameters, "quant_conv", moments, moments, { kernel: 1 }));
  }

  /** [B, H, W, inChannels] -> [B, h, w, 2 * latentChannels]; frees its argument. */
  forward(rec: Recorder, image: Tensor): Tensor {
    return runBlocks(rec, image, this.#blocks);
  }
}
