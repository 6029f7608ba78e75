// The names that an AutoencoderKL has had: diffusers' of today, diffusers' of before (attention as query, key, value, proj_attn),
// and those of latent diffusion's single files (`encoder.down.0.block.0`). In: a checkpoint in any of them. Out: the same tensors
// under diffusers' names of today, 1x1 convolutions of the attention as the linear layers that they are.

import { type MappedTensor, MappedWeights, wholeTensor } from "./mapped_weights.ts";
import { withoutPrefix } from "./weight_prefix.ts";
import type { WeightSource } from "./weights.ts";

/** A name that every AutoencoderKL has, in front of which other tools put `first_stage_model.` or `vae.`. */
export const VAE_ANCHOR = "decoder.conv_in.weight";

const LATENT_DIFFUSION: readonly [theirs: RegExp, diffusers: string][] = [
  [/^(encoder|decoder)\.norm_out\./, "$1.conv_norm_out."],
  [/^(encoder|decoder)\.mid\.attn_1\.norm\./, "$1.mid_block.attentions.0.group_norm."],
  [/^(encoder|decoder)\.mid\.attn_1\.(q|k|v)\./, "$1.mid_block.attentions.0.to_$2."],
  [/^(encoder|decoder)\.mid\.attn_1\.proj_out\./, "$1.mid_block.attentions.0.to_out.0."],
  [/^(encoder|decoder)\.mid\.block_1\./, "$1.mid_block.resnets.0."],
  [/^(encoder|decoder)\.mid\.block_2\./, "$1.mid_block.resnets.1."],
  [/^encoder\.down\.(\d+)\.block\.(\d+)\./, "encoder.down_blocks.$1.resnets.$2."],
  [/^encoder\.down\.(\d+)\.downsample\./, "encoder.down_blocks.$1.downsamplers.0."],
  [/^decoder\.up\.(\d+)\.block\.(\d+)\./, "decoder.up_blocks.$1.resnets.$2."],
  [/^decoder\.up\.(\d+)\.upsample\./, "decoder.up_blocks.$1.upsamplers.0."],
];

const OLD_ATTENTION: readonly [old: RegExp, diffusers: string][] = [
  [/\.attentions\.0\.query\./, ".attentions.0.to_q."],
  [/\.attentions\.0\.key\./, ".attentions.0.to_k."],
  [/\.attentions\.0\.value\./, ".attentions.0.to_v."],
  [/\.attentions\.0\.proj_attn\./, ".attentions.0.to_out.0."],
];

/** Parts of a training run that are none of the autoencoder. */
const OF_TRAINING = /^(loss|model_ema|ema|optimizer)\./;

function diffusersName(name: string, ups: number): string {
  for (const [pattern, replacement] of LATENT_DIFFUSION) {
    if (!pattern.test(name)) continue;
    return name.replace(pattern, replacement)
      .replace(".nin_shortcut.", ".conv_shortcut.")
      // Latent diffusion counts the decoder's levels from the pixels, diffusers from the latents.
      .replace(/^decoder\.up_blocks\.(\d+)/, (_, level) => `decoder.up_blocks.${ups - 1 - Number(level)}`);
  }
  for (const [pattern, replacement] of OLD_ATTENTION) name = name.replace(pattern, replacement);
  return name;
}

/**
 * Sees an autoencoder's checkpoint under diffusers' names. Reading is by range, as in the source; nothing is copied.
 *
 * @returns A source that is disposed with the given one. Names that it does not know stay as they are, so that loading tells them.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * import { mapVaeNames } from "./vae_names.ts";
 * const w = { dtype: "F32" as const, shape: [1, 1, 1, 1], data: Float32Array.of(1) };
 * const names = ["first_stage_model.decoder.conv_in.weight", "first_stage_model.decoder.mid.attn_1.q.weight"];
 * const file = encodeSafetensors(Object.fromEntries(names.map((name) => [name, w])));
 * using weights = mapVaeNames(await openSafetensors(bytesOf("example", file)));
 * console.assert(weights.info("decoder.mid_block.attentions.0.to_q.weight").shape.join() === "1,1");
 * ```
 */
export function mapVaeNames(source: WeightSource): WeightSource {
  const bare = withoutPrefix(source, [VAE_ANCHOR]);
  const levels = bare.names().map((name) => Number(/^decoder\.up\.(\d+)\./.exec(name)?.[1] ?? -1));
  const ups = Math.max(-1, ...levels) + 1;
  const tensors = new Map<string, MappedTensor>();
  for (const name of bare.names()) {
    if (OF_TRAINING.test(name)) continue;
    const mapped = diffusersName(name, ups);
    const { shape } = bare.info(name);
    const isFlat = /\.attentions\.0\.to_(q|k|v|out\.0)\.weight$/.test(mapped) &&
      shape.slice(2).every((size) => size === 1);
    tensors.set(mapped, wholeTensor(bare, name, isFlat ? shape.slice(0, 2) : shape));
  }
  return new MappedWeights(bare, tensors);
}
