// The blocks of the autoencoder: residual block, single-head attention, down- and upsampling. Images are [B, H, W, C].

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { SelfAttention } from "../layers/attention.ts";
import { Conv2d } from "../layers/conv2d.ts";
import { GroupNorm } from "../layers/group_norm.ts";
import type { ParameterSet } from "../layers/parameters.ts";
import type { AutoencoderConfig } from "./config.ts";

const EPS = 1e-6;

/** Anything that maps an image to an image. */
export interface ImageBlock {
  forward(rec: Recorder, x: Tensor): Tensor;
}

/** Two convolutions with group norms before them, and a way around. */
export class ResnetBlock implements ImageBlock {
  readonly #norm1: GroupNorm;
  readonly #conv1: Conv2d;
  readonly #norm2: GroupNorm;
  readonly #conv2: Conv2d;
  readonly #shortcut: Conv2d | undefined;

  constructor(parameters: ParameterSet, name: string, inChannels: number, outChannels: number, groups: number) {
    const norm = { groups, eps: EPS, silu: true };
    this.#norm1 = new GroupNorm(parameters, `${name}.norm1`, inChannels, norm);
    this.#conv1 = new Conv2d(parameters, `${name}.conv1`, inChannels, outChannels, { kernel: 3 });
    this.#norm2 = new GroupNorm(parameters, `${name}.norm2`, outChannels, norm);
    this.#conv2 = new Conv2d(parameters, `${name}.conv2`, outChannels, outChannels, { kernel: 3 });
    if (inChannels !== outChannels) {
      this.#shortcut = new Conv2d(parameters, `${name}.conv_shortcut`, inChannels, outChannels, { kernel: 1 });
    }
  }

  /** [B, H, W, C] -> [B, H, W, C']; x itself, updated in place, where the channels stay. */
  forward(rec: Recorder, x: Tensor): Tensor {
    const around = this.#shortcut?.forward(rec, x) ?? x;
    const image = x.shape, between = around.shape;
    let h = this.#norm1.forward(rec, x, this.#conv1.takesHalves(rec.device, image));
    h = rec.replace(h, (h) => this.#conv1.forward(rec, h, { image }));
    h = rec.replace(h, (h) => this.#norm2.forward(rec, h, this.#conv2.takesHalves(rec.device, between)));
    return this.#conv2.forward(rec, h, { image: between, addTo: around });
  }
}

/** Attention of every pixel to every other, one head. */
export class AttentionBlock implements ImageBlock {
  readonly #norm: GroupNorm;
  readonly #attention: SelfAttention;

  constructor(parameters: ParameterSet, name: string, channels: number, groups: number) {
    this.#norm = new GroupNorm(parameters, `${name}.group_norm`, channels, { groups, eps: EPS, silu: false });
    this.#attention = new SelfAttention(parameters, name, {
      width: channels,
      heads: 1,
      headWidth: channels,
      bias: true,
    });
  }

  /** [B, H, W, C], updated in place. */
  forward(rec: Recorder, x: Tensor): Tensor {
    const [batch, height, width, channels] = x.shape;
    const tokens = [batch, height * width, channels];
    const halves = this.#attention.takesHalves(rec.device, batch * height * width);
    const normed = this.#norm.forward(rec, x, halves).view(tokens);
    this.#attention.forward(rec, normed, {}, { addTo: x.view(tokens) });
    return x;
  }
}

/** Halves the image by a convolution of stride 2, padded at the bottom and right only. */
export class Downsample implements ImageBlock {
  readonly #conv: Conv2d;

  constructor(parameters: ParameterSet, name: string, channels: number) {
    const padding = { top: 0, left: 0, bottom: 1, right: 1 };
    this.#conv = new Conv2d(parameters, `${name}.conv`, channels, channels, { kernel: 3, stride: 2, padding });
  }

  /** [B, H, W, C] -> [B, H / 2, W / 2, C]. */
  forward(rec: Recorder, x: Tensor): Tensor {
    return this.#conv.forward(rec, x);
  }
}

/** Doubles the image by nearest neighbours and smooths it by a convolution, in one kernel. */
export class Upsample implements ImageBlock {
  readonly #conv: Conv2d;

  constructor(parameters: ParameterSet, name: string, channels: number) {
    this.#conv = new Conv2d(parameters, `${name}.conv`, channels, channels, { kernel: 3 });
  }

  /** [B, H, W, C] -> [B, 2 H, 2 W, C]. */
  forward(rec: Recorder, x: Tensor): Tensor {
    return this.#conv.forward(rec, x, { upsample: true });
  }
}

/** The blocks in the middle of encoder and decoder: residual, attention, residual. */
export function midBlock(parameters: ParameterSet, name: string, config: AutoencoderConfig): ImageBlock[] {
  const width = config.blockOutChannels.at(-1)!;
  const groups = config.normNumGroups;
  const resnet = (i: number) => new ResnetBlock(parameters, `${name}.resnets.${i}`, width, width, groups);
  if (!config.midBlockAddAttention) return [resnet(0), resnet(1)];
  return [resnet(0), new AttentionBlock(parameters, `${name}.attentions.0`, width, groups), resnet(1)];
}

/** A group norm with SiLU in front of the last convolution. */
export function outNorm(parameters: ParameterSet, name: string, channels: number, groups: number): GroupNorm {
  return new GroupNorm(parameters, name, channels, { groups, eps: EPS, silu: true });
}

/** Runs blocks one after another, freeing each image once the next is there. */
export function runBlocks(rec: Recorder, x: Tensor, blocks: readonly ImageBlock[]): Tensor {
  for (const block of blocks) x = rec.replace(x, (x) => block.forward(rec, x));
  return x;
}
