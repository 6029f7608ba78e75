// Verifies a transformer. In: a folder with its weights and recorded inputs and outputs. Out: a row for each output.

import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import type { Device } from "../gpu/device.ts";
import type { HostTensor } from "../pipelines/generate_options.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import { compute, type VerifyRun } from "./run.ts";

/** Recorded latents [B, 4, h, w], captions [B, L, C] with their mask [B, L], and times [B]. */
export interface RecordedInputs {
  latents: HostTensor;
  caption: HostTensor;
  mask?: HostTensor;
  timestep: HostTensor;
}

const DIFFUSERS_NAMES = { output: "out.sample", sizes: "in.resolution" };

/** Reads what a transformer is run on. */
export async function readInputs(io: Reference): Promise<RecordedInputs> {
  return {
    latents: await io.floats("in.hidden_states", 4),
    caption: await io.floats("in.encoder_hidden_states", 3),
    mask: io.has("in.encoder_attention_mask") ? await io.floats("in.encoder_attention_mask", 2) : undefined,
    timestep: await io.floats("in.timestep"),
  };
}

/**
 * Runs a transformer on recorded inputs, to its output [B, 4 or 8, h, w]; size conditions are read where it has them.
 *
 * @param sizes The name of the recorded heights and widths.
 */
export async function runTransformer(
  device: Device,
  model: PixArtTransformer2DModel,
  io: Reference,
  { latents, caption, mask, timestep }: RecordedInputs,
  sizes = DIFFUSERS_NAMES.sizes,
): Promise<HostTensor> {
  const micro = model.config.useAdditionalConditions ? await sizeConditions(io, sizes) : undefined;
  const [sample] = await compute(device, (rec) => [
    model.forward(rec, {
      hiddenStates: rec.upload(latents.data, latents.shape),
      timestep: Array.from(timestep.data),
      encoderHiddenStates: rec.upload(caption.data, caption.shape),
      encoderAttentionMask: mask?.data,
      addedCondKwargs: micro,
    }),
  ]);
  return sample;
}

/** How a layout names what was recorded: the output, and the heights and widths. */
export interface RecordedNames {
  output: string;
  sizes: string;
}

/** Runs the transformer of a folder on recorded inputs. */
export async function verifyForward(
  run: VerifyRun,
  io: Reference,
  inputs: RecordedInputs,
  { output, sizes }: RecordedNames,
): Promise<OutputReport[]> {
  const device = await run.device();
  run.progress("loading the transformer");
  using model = await PixArtTransformer2DModel.fromPretrained(run.folder, {
    device,
    dtype: run.dtype,
    onWarning: run.warn,
    signal: run.signal,
  });
  run.progress("running the transformer");
  const sample = await runTransformer(device, model, io, inputs, sizes);
  const rows: OutputReport[] = [];
  for (const name of io.outputs()) {
    rows.push(
      name === output
        ? compareFloats(name, sample, await io.floats(name), run.tolerance)
        : notCompared(name, "the transformer has no such output"),
    );
  }
  return rows;
}

/** Runs a PixArt transformer on recorded inputs. */
export async function verifyTransformer(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  io.outputs(); // none is an error that comes before all work
  return await verifyForward(run, io, await readInputs(io), DIFFUSERS_NAMES);
}

async function sizeConditions(io: Reference, name: string) {
  const { data: sizes } = await io.floats(name, 2);
  const { data: ratios } = await io.floats("in.aspect_ratio");
  const resolution = Array.from(
    { length: sizes.length / 2 },
    (_, i): [number, number] => [sizes[2 * i], sizes[2 * i + 1]],
  );
  return { resolution, aspectRatio: Array.from(ratios) };
}
