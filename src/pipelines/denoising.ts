// The denoising loop: noise becomes latents, one submit a step. In: latents, an encoded prompt and a scheduler's plan.
// Out: the same latents, denoised in place. Nothing comes back from the GPU on the way.

import { UsageError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { MicroConditions } from "../dit/conditioning.ts";
import type { PixArtTransformer2DModel } from "../dit/transformer.ts";
import { countNonFinite } from "../ops/count_non_finite.ts";
import { mixNoise } from "../ops/mix_noise.ts";
import { SolverState } from "../ops/solver_step.ts";
import type { StepPlan } from "../schedulers/scheduler.ts";
import { StepNoise } from "../schedulers/step_noise.ts";
import type { AutoencoderKL } from "../vae/autoencoder.ts";
import type { ControlPart } from "./control_condition.ts";
import type { StepInfo } from "./generate_options.ts";
import type { Guidance } from "./guidance.ts";
import type { KeptPart } from "./image_start.ts";
import { previewLatents } from "./latent_preview.ts";
import type { NoiseSource } from "./noise_source.ts";
import type { EncodedPrompt } from "./prompt_encoding.ts";
import { StepClock } from "./step_clock.ts";

/** What a run of denoising needs. */
export interface DenoiseOptions {
  /** [B, 4, h, w] the noise to start from; updated in place. */
  latents: Tensor;
  prompt: EncodedPrompt;
  /** The scheduler's steps. */
  plan: readonly StepPlan[];
  /** How the model's answers become one prediction; the prompt must have been encoded for it. */
  guidance: Guidance;
  /** Where schedulers that add noise at each step draw it from. */
  noise: NoiseSource;
  /** Size conditions, the same for all images: PixArt-α 1024. */
  micro?: { resolution: readonly [number, number]; aspectRatio: number };
  /** The part of pictures that inpainting keeps. */
  kept?: KeptPart;
  /** What a ControlNet is shown. */
  control?: ControlPart;
  /** u32 [steps + 1]; how many of the latents are not finite after step s is added to count s. */
  nonFinite?: Tensor;
  /** Whose latents these are; only previews need it. */
  vae?: AutoencoderKL;
  signal?: AbortSignal;
}

/**
 * Denoises latents step by step. Two steps at most are under way at once, so that progress is real and a cancel takes effect
 * within a step, while the GPU never waits for the host.
 *
 * @returns After each step, how far the run is; leaving the loop early frees everything.
 * @throws {UsageError} when the prompt was encoded for another guidance.
 * @throws The signal's reason when it was aborted.
 */
export async function* denoise(
  device: Device,
  transformer: PixArtTransformer2DModel,
  { latents, prompt, plan, guidance, noise, micro, kept, control, nonFinite, vae, signal }: DenoiseOptions,
): AsyncGenerator<StepInfo> {
  if (prompt.captions.join() !== guidance.captions.join()) {
    throw new UsageError(
      `Cannot guide by ${guidance.captions.join(", ")} as the prompt must be encoded for it: ${
        prompt.captions.join(", ")
      }`,
    );
  }
  if (plan.length === 0) return;
  await using _held = await transformer.use({ signal });
  await using _steering = await control?.net.use({ signal });
  using scope = device.arena.scope();
  const [batch, channels, height, width] = latents.shape;
  const setup = new Recorder(device).within(scope);
  const copies = control?.net.blocks;
  const caption = transformer.encodeCaption(setup, prompt.embeds, prompt.mask, copies);
  const conditions: MicroConditions | undefined = micro && {
    resolution: plan.map(() => micro.resolution),
    aspectRatio: plan.map(() => micro.aspectRatio),
  };
  const times = transformer.encodeTimes(setup, plan.map(({ timestep }) => timestep), conditions, copies);
  const steering = control?.net.prepare(
    setup,
    transformer.embedLatents(setup, control.condition),
    control.conditioningScale,
  );
  const solver = new SolverState(scope, latents, plan);
  setup.submit();
  // Only a scheduler with learned noise reads the variance, the channels behind the prediction.
  const readsVariance = plan.some(({ noiseScale }) => noiseScale !== undefined);
  const outChannels = readsVariance ? transformer.config.outChannels : channels;
  const stepNoise = new StepNoise();
  const submit = (row: number, step: StepPlan) => {
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const output = transformer.predict(rec, latents, caption, times, {
      row,
      inputScale: step.inputScale,
      channels: outChannels,
      perturbedBlocks: guidance.perturbedBlocks,
      control: control?.isSteered(row, plan.length) ? steering : undefined,
    });
    const z = stepNoise.next(step, step.drawsNoise ? noise.draw([batch, channels, height, width]) : undefined);
    solver.step(rec, step, output, {
      guidance: { factors: guidance.factors(step), channels: guidance.channels },
      noise: z && rec.upload(z, latents.shape),
    });
    if (kept) mixNoise(rec, latents, { ...kept, ...kept.levels[row] });
    if (nonFinite) countNonFinite(rec, latents, { counts: nonFinite, at: row + 1 });
    rec.submit();
  };
  const clock = new StepClock();
  let under = Promise.resolve();
  let current: StepPlan | undefined;
  using _end = { [Symbol.dispose]: () => current = undefined };
  for (const [row, step] of plan.entries()) {
    signal?.throwIfAborted();
    submit(row, step);
    await under;
    under = device.gpu.queue.onSubmittedWorkDone().then(() => {});
    current = step;
    yield {
      step: row + 1,
      steps: plan.length,
      timestep: step.timestep,
      secondsLeft: clock.left(row, plan.length),
      async preview() {
        if (current !== step) {
          throw new UsageError(`Cannot preview step ${row + 1} as the run must not have gone on: it has`);
        }
        if (!vae) throw new UsageError("Cannot preview latents as the VAE must be known: the pipeline has none");
        return await previewLatents(device, vae, latents, plan[row + 1]?.inputScale);
      },
    };
  }
  signal?.throwIfAborted();
}
