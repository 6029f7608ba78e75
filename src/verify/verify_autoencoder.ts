// Verifies an autoencoder. In: a folder with its weights and recorded latents and images. Out: a row for each output.

import { WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { HostTensor } from "../pipelines/generate_options.ts";
import { floatDType } from "../ops/weight_kernels.ts";
import { AutoencoderKL } from "../vae/autoencoder.ts";
import type { Tiling } from "../vae/tiling.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import { channelsFirst, compute, type VerifyRun } from "./run.ts";

// Where diffusers' Gaussian cuts log-variances, so that the recorded ones are cut, too.
const LEAST_LOGVAR = -30, LARGEST_LOGVAR = 20;

/** Decodes recorded latents [B, 4, h, w], whole and in tiles, and encodes recorded images [B, 3, H, W]. */
export async function verifyAutoencoder(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const outputs = io.outputs();
  const device = await run.device();
  run.progress("loading the autoencoder");
  using model = await AutoencoderKL.fromPretrained(run.folder, {
    device,
    dtype: floatDType(run.dtype),
    onWarning: run.warn,
    signal: run.signal,
  });
  const decode = async (tiling?: Tiling) => {
    const { data, shape } = await io.floats("in.latents", 4);
    run.progress(tiling ? "decoding in tiles" : "decoding");
    const [image] = await compute(device, (rec) => [model.decode(rec, rec.upload(data, shape), { tiling })]);
    return channelsFirst(image);
  };
  let encoded: Promise<Moments> | undefined;
  const encode = () => encoded ??= encodeImage(run, device, model, io);
  const known: Record<string, () => Promise<HostTensor>> = {
    "out.decoded": () => decode(),
    "out.decoded_tiled": () => decode(tilingOf(io) ?? model.defaultTiling),
    "out.mean": async () => (await encode()).mean,
    "out.logvar": async () => (await encode()).logvar,
  };
  const rows: OutputReport[] = [];
  for (const name of outputs) {
    rows.push(
      Object.hasOwn(known, name)
        ? compareFloats(name, await known[name](), await io.floats(name), run.tolerance)
        : notCompared(name, "the autoencoder has no such output"),
    );
  }
  return rows;
}

/** Means and log-variances, [B, C, h, w] each. */
interface Moments {
  mean: HostTensor;
  logvar: HostTensor;
}

async function encodeImage(run: VerifyRun, device: Device, model: AutoencoderKL, io: Reference): Promise<Moments> {
  const { data, shape } = await io.floats("in.image", 4);
  run.progress("encoding");
  const [encoded] = await compute(device, (rec) => [model.encode(rec, rec.upload(data, shape))]);
  const moments = channelsFirst(encoded);
  const [batch, channels, height, width] = moments.shape;
  const size = (channels / 2) * height * width;
  const half = (part: number, work: (value: number) => number): HostTensor => {
    const out = new Float32Array(batch * size);
    for (let i = 0; i < out.length; i++) {
      const sample = Math.floor(i / size);
      out[i] = work(moments.data[(2 * sample + part) * size + i % size]);
    }
    return { data: out, shape: [batch, channels / 2, height, width] };
  };
  const clamp = (value: number) => Math.min(Math.max(value, LEAST_LOGVAR), LARGEST_LOGVAR);
  return { mean: half(0, (value) => value), logvar: half(1, clamp) };
}

/** The tiling that the reference was recorded with; undefined where the file does not say. */
function tilingOf(io: Reference): Tiling | undefined {
  const { tile } = io.metadata;
  if (tile === undefined) return undefined;
  const settings = parse(tile);
  const size = (key: string): number => {
    const value = settings?.[key];
    if (typeof value === "number" && value > 0) return value;
    throw new WeightsError(`Cannot read tile settings as ${key} must be a number above 0: ${tile}`);
  };
  return {
    tileSampleMinSize: size("tile_sample_min_size"),
    tileLatentMinSize: size("tile_latent_min_size"),
    tileOverlapFactor: size("tile_overlap_factor"),
  };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
