// The configuration of an autoencoder whose config is missing. In: its tensors, and what the user says of it. Out: the JSON that
// diffusers would write, or an error that names the option to say what no tensor tells: the scale of its latents.

import { ConfigError } from "../errors.ts";
import { describe, type WeightSource } from "../io/weights.ts";

/** What a user can say of an autoencoder whose config is missing. */
export interface AutoencoderHints {
  /** What latents are multiplied by: 0.18215 of Stable Diffusion's (PixArt-α), 0.13025 of SDXL's (PixArt-Σ). */
  scalingFactor?: number;
}

const GROUPS = 32;
const SDXL_SCALE = 0.13025;

/**
 * Guesses a config from the tensors.
 *
 * @param source The checkpoint under diffusers' names.
 * @throws {ConfigError} that names an option, when the tensors do not tell all.
 */
export function guessAutoencoderConfigJson(
  source: WeightSource,
  { scalingFactor }: AutoencoderHints = {},
): Record<string, unknown> {
  const shapeOf = (name: string): number[] => {
    const info = source.has(name) ? source.info(name) : undefined;
    if (info?.shape.length === 4) return info.shape;
    const state = info ? describe(info) : "it is missing";
    throw new ConfigError(
      `Cannot guess the autoencoder's config of ${source.name} as ${name} must have 4 axes: ${state}`,
    );
  };
  const widths: number[] = [];
  while (source.has(`encoder.down_blocks.${widths.length}.resnets.0.conv1.weight`)) {
    widths.push(shapeOf(`encoder.down_blocks.${widths.length}.resnets.0.conv1.weight`)[0]);
  }
  let layers = 0;
  while (source.has(`encoder.down_blocks.0.resnets.${layers}.conv1.weight`)) layers++;
  const [, latents] = shapeOf("decoder.conv_in.weight");
  const [, colours] = shapeOf("encoder.conv_in.weight");
  const [painted] = shapeOf("decoder.conv_out.weight");
  if (scalingFactor === undefined) {
    throw new ConfigError(
      `Cannot load ${source.name} without a config as the scale of its latents must be known: the VAEs of Stable Diffusion ` +
        `(0.18215) and SDXL (0.13025) look alike; give --scaling-factor`,
    );
  }
  return {
    _class_name: "AutoencoderKL",
    act_fn: "silu",
    block_out_channels: widths,
    down_block_types: widths.map(() => "DownEncoderBlock2D"),
    force_upcast: true,
    in_channels: colours,
    latent_channels: latents,
    layers_per_block: layers,
    mid_block_add_attention: source.has("decoder.mid_block.attentions.0.to_q.weight"),
    norm_num_groups: GROUPS,
    out_channels: painted,
    // The released ones were trained at these sizes; here it is the side of a tile.
    sample_size: scalingFactor === SDXL_SCALE ? 1024 : 512,
    scaling_factor: scalingFactor,
    up_block_types: widths.map(() => "UpDecoderBlock2D"),
    use_post_quant_conv: source.has("post_quant_conv.weight"),
    use_quant_conv: source.has("quant_conv.weight"),
  };
}
