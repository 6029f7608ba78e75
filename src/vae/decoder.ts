// The decoder: latents [B, h, w, 4] become an image [B, 8h, 8w, 3] (SDXL's VAE; other depths scale otherwise).

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "../layers/conv2d.ts";
import type { ParameterSet } from "../layers/parameters.ts";
import { type ImageBlock, midBlock, outNorm, ResnetBlock, runBlocks, Upsample } from "./blocks.ts";
import type { AutoencoderConfig } from "./config.ts";

/** From latents to pixels. */
export class Decoder {
  readonly #blocks: ImageBlock[];

  constructor(parameters: ParameterSet, config: AutoencoderConfig) {
    const { blockOutChannels, latentChannels, layersPerBlock, normNumGroups, outChannels } = config;
    const widths = blockOutChannels.toReversed();
    this.#blocks = [];
    if (config.usePostQuantConv) {
      const { latentChannels: width } = config;
      this.#blocks.push(new Conv2d(parameters, "post_quant_conv", width, width, { kernel: 1 }));
    }
    this.#blocks.push(new Conv2d(parameters, "decoder.conv_in", latentChannels, widths[0], { kernel: 3 }));
    this.#blocks.push(...midBlock(parameters, "decoder.mid_block", config));
    let inChannels = widths[0];
    widths.forEach((width, i) => {
      const name = `decoder.up_blocks.${i}`;
      for (let j = 0; j <= layersPerBlock; j++) {
        this.#blocks.push(new ResnetBlock(parameters, `${name}.resnets.${j}`, inChannels, width, normNumGroups));
        inChannels = width;
      }
      if (i < widths.length - 1) this.#blocks.push(new Upsample(parameters, `${name}.upsamplers.0`, width));
    });
    this.#blocks.push(outNorm(parameters, "decoder.conv_norm_out", inChannels, normNumGroups));
    this.#blocks.push(new Conv2d(parameters, "decoder.conv_out", inChannels, outChannels, { kernel: 3 }));
  }

  /** [B, h, w, latentChannels] -> [B, H, W, outChannels]; frees its argument. */
  forward(rec: Recorder, latents: Tensor): Tensor {
    return runBlocks(rec, latents, this.#blocks);
  }
}
