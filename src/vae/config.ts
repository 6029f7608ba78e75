// The configuration of a variational autoencoder, as diffusers writes it. In: JSON. Out: checked numbers.

import { ConfigError } from "../errors.ts";

/** Extents of an AutoencoderKL; names are diffusers' in camelCase. */
export interface AutoencoderConfig {
  inChannels: number;
  outChannels: number;
  latentChannels: number;
  blockOutChannels: readonly number[];
  layersPerBlock: number;
  normNumGroups: number;
  /** Pixels a side that it was trained for; also the side of a tile. */
  sampleSize: number;
  scalingFactor: number;
  shiftFactor: number;
  useQuantConv: boolean;
  usePostQuantConv: boolean;
  midBlockAddAttention: boolean;
}

/** Pixels a latent pixel stands for, along one axis. */
export function scaleFactorOf({ blockOutChannels }: AutoencoderConfig): number {
  return 2 ** (blockOutChannels.length - 1);
}

type Json = Record<string, unknown>;

function refuse(rule: string, value: unknown): never {
  throw new ConfigError(`Cannot read the autoencoder's config as ${rule}: ${JSON.stringify(value)}`);
}

function count(json: Json, key: string, fallback: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
    refuse(`${key} must be a positive whole number`, value);
  }
  return value;
}

function allEqual(json: Json, key: string, expected: string): void {
  const value = json[key];
  if (value === undefined) return;
  if (!Array.isArray(value) || value.some((entry) => entry !== expected)) {
    refuse(`${key} must all be ${expected}`, value);
  }
}

/**
 * Reads an autoencoder's `config.json`.
 *
 * @throws {ConfigError} naming the key whose value this network does not have.
 */
export function parseAutoencoderConfig(json: unknown): AutoencoderConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) refuse("it must be a JSON object", json);
  const config = json as Json;
  const name = config._class_name ?? "AutoencoderKL";
  if (name !== "AutoencoderKL") refuse("_class_name must be AutoencoderKL", name);
  allEqual(config, "down_block_types", "DownEncoderBlock2D");
  allEqual(config, "up_block_types", "UpDecoderBlock2D");
  const activation = config.act_fn ?? "silu";
  if (activation !== "silu") refuse("act_fn must be silu", activation);
  for (const key of ["latents_mean", "latents_std"]) {
    if (config[key] !== undefined && config[key] !== null) refuse(`${key} must be null`, config[key]);
  }
  const groups = count(config, "norm_num_groups", 32);
  const channels = config.block_out_channels ?? [64];
  if (!Array.isArray(channels) || channels.length === 0) refuse("block_out_channels must be a list", channels);
  for (const width of channels) {
    if (!Number.isInteger(width) || width < 1 || width % groups !== 0) {
      refuse(`block_out_channels must be multiples of norm_num_groups ${groups}`, channels);
    }
  }
  if (channels.at(-1) % 4 !== 0) refuse("the last of block_out_channels must divide by 4", channels);
  const scaling = config.scaling_factor ?? 0.18215;
  if (typeof scaling !== "number" || !(scaling > 0)) refuse("scaling_factor must be above 0", scaling);
  const shift = config.shift_factor ?? 0;
  if (typeof shift !== "number") refuse("shift_factor must be a number or null", shift);
  return {
    inChannels: count(config, "in_channels", 3),
    outChannels: count(config, "out_channels", 3),
    latentChannels: count(config, "latent_channels", 4),
    blockOutChannels: channels,
    layersPerBlock: count(config, "layers_per_block", 1),
    normNumGroups: groups,
    sampleSize: count(config, "sample_size", 32),
    scalingFactor: scaling,
    shiftFactor: shift,
    useQuantConv: config.use_quant_conv !== false,
    usePostQuantConv: config.use_post_quant_conv !== false,
    midBlockAddAttention: config.mid_block_add_attention !== false,
  };
}
