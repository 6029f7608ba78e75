// Every tensor of the networks, as a fresh one is initialised. In: a network's extents. Out: names, shapes, and how numbers are spread.
// The original zeroes the last layers of cross-attention and of the network; here they get small numbers, since a checkpoint whose
// every output is zero would hide any fault.

import type { TransformerConfig } from "../dit/config.ts";
import type { T5Config } from "../text/t5_config.ts";
import type { AutoencoderConfig } from "../vae/config.ts";
import type { RandomTensor, Spread } from "./random_weights.ts";

const normal = (scale: number): Spread => ({ kind: "normal", scale });
const uniform = (scale: number): Spread => ({ kind: "uniform", scale });
const zeros: Spread = { kind: "constant", scale: 0 };
const ones: Spread = { kind: "constant", scale: 1 };

/** The deviation of embedders and of layers that begin at nothing. */
const SMALL = normal(0.02);
const FREQUENCIES = 256;

const xavier = (outputs: number, inputs: number) => uniform(Math.sqrt(6 / (outputs + inputs)));

/** A linear layer: by Xavier's rule unless another spread is given. */
function linear(name: string, outputs: number, inputs: number, bias = true, spread?: Spread): RandomTensor[] {
  const weight = { name: `${name}.weight`, shape: [outputs, inputs], spread: spread ?? xavier(outputs, inputs) };
  return bias ? [weight, { name: `${name}.bias`, shape: [outputs], spread: zeros }] : [weight];
}

function norm(name: string, width: number): RandomTensor[] {
  return [
    { name: `${name}.weight`, shape: [width], spread: ones },
    { name: `${name}.bias`, shape: [width], spread: zeros },
  ];
}

/** A PixArt transformer under diffusers' names (REFERENCE M12). */
export function transformerTensors(config: TransformerConfig): RandomTensor[] {
  const { inChannels, outChannels, patchSize, captionChannels, attentionBias, kvCompression } = config;
  const width = config.numAttentionHeads * config.attentionHeadDim;
  const table = (name: string, rows: number) => ({ name, shape: [rows, width], spread: normal(width ** -0.5) });
  const embedder = (name: string, size: number) => [
    ...linear(`${name}.linear_1`, size, FREQUENCIES, true, SMALL),
    ...linear(`${name}.linear_2`, size, size, true, SMALL),
  ];
  const patch = inChannels * patchSize ** 2;
  const [patchWeight, patchBias] = linear("pos_embed.proj", width, patch);
  const tensors: RandomTensor[] = [
    { ...patchWeight, shape: [width, inChannels, patchSize, patchSize] },
    patchBias,
    ...embedder("adaln_single.emb.timestep_embedder", width),
    ...linear("adaln_single.linear", 6 * width, width, true, SMALL),
    ...linear("caption_projection.linear_1", width, captionChannels, true, SMALL),
    ...linear("caption_projection.linear_2", width, width, true, SMALL),
    table("scale_shift_table", 2),
    ...linear("proj_out", outChannels * patchSize ** 2, width, true, SMALL),
  ];
  if (config.useAdditionalConditions) {
    tensors.push(...embedder("adaln_single.emb.resolution_embedder", width / 3));
    tensors.push(...embedder("adaln_single.emb.aspect_ratio_embedder", width / 3));
  }
  for (let i = 0; i < config.numLayers; i++) {
    const block = `transformer_blocks.${i}`;
    tensors.push(table(`${block}.scale_shift_table`, 6));
    // The original initialises queries, keys and values as the one matrix that it keeps them in.
    const parts = (attention: string, names: string[]) =>
      names.flatMap((part) =>
        linear(`${block}.${attention}.to_${part}`, width, width, attentionBias, xavier(names.length * width, width))
      );
    tensors.push(...parts("attn1", ["q", "k", "v"]), ...linear(`${block}.attn1.to_out.0`, width, width));
    tensors.push(...parts("attn2", ["q"]), ...parts("attn2", ["k", "v"]));
    tensors.push(...linear(`${block}.attn2.to_out.0`, width, width, true, SMALL));
    tensors.push(
      ...linear(`${block}.ff.net.0.proj`, 4 * width, width),
      ...linear(`${block}.ff.net.2`, width, 4 * width),
    );
    if (config.qkNorm) tensors.push(...norm(`${block}.attn1.q_norm`, width), ...norm(`${block}.attn1.k_norm`, width));
    if (kvCompression?.sampling === "conv" && kvCompression.layers.includes(i)) {
      const side = kvCompression.scaleFactor;
      tensors.push(
        // It begins as the average of the tokens that it joins (REFERENCE K04).
        {
          name: `${block}.attn1.sr.weight`,
          shape: [width, 1, side, side],
          spread: { kind: "constant", scale: side ** -2 },
        },
        { name: `${block}.attn1.sr.bias`, shape: [width], spread: zeros },
        ...norm(`${block}.attn1.norm`, width),
      );
    }
  }
  return tensors;
}

/** A T5 encoder under transformers' names, which initialises so that scores need no scaling. */
export function t5Tensors(config: T5Config): RandomTensor[] {
  const { dModel, dKv, dFf, numHeads, vocabSize } = config;
  const inner = numHeads * dKv;
  const tensor = (name: string, shape: number[], spread: Spread) => ({ name: `${name}.weight`, shape, spread });
  const tensors = [
    tensor("shared", [vocabSize, dModel], normal(1)),
    tensor("encoder.final_layer_norm", [dModel], ones),
    tensor(
      "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
      [config.relativeAttentionNumBuckets, numHeads],
      normal(dModel ** -0.5),
    ),
  ];
  for (let i = 0; i < config.numLayers; i++) {
    const [attention, feedForward] = [`encoder.block.${i}.layer.0`, `encoder.block.${i}.layer.1`];
    tensors.push(
      tensor(`${attention}.layer_norm`, [dModel], ones),
      tensor(`${attention}.SelfAttention.q`, [inner, dModel], normal((dModel * dKv) ** -0.5)),
      tensor(`${attention}.SelfAttention.k`, [inner, dModel], normal(dModel ** -0.5)),
      tensor(`${attention}.SelfAttention.v`, [inner, dModel], normal(dModel ** -0.5)),
      tensor(`${attention}.SelfAttention.o`, [dModel, inner], normal(inner ** -0.5)),
      tensor(`${feedForward}.layer_norm`, [dModel], ones),
      tensor(`${feedForward}.DenseReluDense.wi_0`, [dFf, dModel], normal(dModel ** -0.5)),
      tensor(`${feedForward}.DenseReluDense.wi_1`, [dFf, dModel], normal(dModel ** -0.5)),
      tensor(`${feedForward}.DenseReluDense.wo`, [dModel, dFf], normal(dFf ** -0.5)),
    );
  }
  return tensors;
}

/** An autoencoder under diffusers' names, as PyTorch initialises its layers. */
export function autoencoderTensors(config: AutoencoderConfig): RandomTensor[] {
  const { blockOutChannels: widths, layersPerBlock, latentChannels } = config;
  const tensors: RandomTensor[] = [];
  const weighted = (name: string, shape: number[]) => {
    const spread = uniform(shape.slice(1).reduce((product, size) => product * size, 1) ** -0.5);
    tensors.push({ name: `${name}.weight`, shape, spread }, { name: `${name}.bias`, shape: [shape[0]], spread });
  };
  const conv = (name: string, from: number, to: number, side = 3) => weighted(name, [to, from, side, side]);
  const resnet = (name: string, from: number, to: number) => {
    tensors.push(...norm(`${name}.norm1`, from), ...norm(`${name}.norm2`, to));
    conv(`${name}.conv1`, from, to);
    conv(`${name}.conv2`, to, to);
    if (from !== to) conv(`${name}.conv_shortcut`, from, to, 1);
  };
  const middle = (name: string, width: number) => {
    resnet(`${name}.resnets.0`, width, width);
    resnet(`${name}.resnets.1`, width, width);
    if (!config.midBlockAddAttention) return;
    tensors.push(...norm(`${name}.attentions.0.group_norm`, width));
    for (const part of ["to_q", "to_k", "to_v", "to_out.0"]) weighted(`${name}.attentions.0.${part}`, [width, width]);
  };
  const deepest = widths[widths.length - 1];
  let width = widths[0];
  conv("encoder.conv_in", config.inChannels, width);
  widths.forEach((next, i) => {
    for (let j = 0; j < layersPerBlock; j++, width = next) resnet(`encoder.down_blocks.${i}.resnets.${j}`, width, next);
    if (i < widths.length - 1) conv(`encoder.down_blocks.${i}.downsamplers.0.conv`, next, next);
  });
  middle("encoder.mid_block", deepest);
  tensors.push(...norm("encoder.conv_norm_out", deepest));
  conv("encoder.conv_out", deepest, 2 * latentChannels);
  if (config.useQuantConv) conv("quant_conv", 2 * latentChannels, 2 * latentChannels, 1);
  if (config.usePostQuantConv) conv("post_quant_conv", latentChannels, latentChannels, 1);
  conv("decoder.conv_in", latentChannels, deepest);
  middle("decoder.mid_block", deepest);
  width = deepest;
  widths.toReversed().forEach((next, i) => {
    for (let j = 0; j <= layersPerBlock; j++, width = next) resnet(`decoder.up_blocks.${i}.resnets.${j}`, width, next);
    if (i < widths.length - 1) conv(`decoder.up_blocks.${i}.upsamplers.0.conv`, next, next);
  });
  tensors.push(...norm("decoder.conv_norm_out", width));
  conv("decoder.conv_out", width, config.outChannels);
  return tensors;
}
