// A limit of GPU memory that a pipeline keeps to. In: a checkpoint's headers, a limit, the largest run that is expected. Out: how to
// load the networks, and for each call, how it is painted.

import { UsageError } from "../errors.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { scaleFactorOf } from "../vae/config.ts";
import { binTableFor, classifyHeightWidthBin } from "./aspect_ratio_bins.ts";
import {
  type ChosenPlan,
  fitRun,
  type FixedChoices,
  type FixedRun,
  type MemoryPlan,
  planMemory,
} from "./memory_plan.ts";
import { type PipelineForms, SCALE_FACTOR, weightsOf } from "./memory_stages.ts";

/** What a run will ask for, for planning; what is left out is as `generate` has it by default. */
export interface ExpectedRun {
  /** Pixels. */
  height?: number;
  width?: number;
  /** Whether it is painted at the nearest size that the model was trained for. */
  useResolutionBinning?: boolean;
  /** Pictures of one call. */
  pictures?: number;
  /** Different prompts of one call. */
  prompts?: number;
  /** Tokens of a prompt. */
  tokens?: number;
  /** Captions that each picture is asked with: one without guidance, two with it, three with perturbed attention, too. */
  captions?: number;
  steps?: number;
  /** Whether it starts from pictures or is steered by one. */
  fromImages?: boolean;
}

const TOKENS = 300;
const STEPS = 20;

/** What is painted where so much is asked for. */
function paintedSize({ height, width, useResolutionBinning = true }: ExpectedRun, sampleSize: number, factor: number) {
  const result = { height: height ?? sampleSize * factor, width: width ?? sampleSize * factor };
  const bins = useResolutionBinning ? binTableFor(sampleSize) : undefined;
  const [down, across] = bins
    ? classifyHeightWidthBin(result.height, result.width, bins)
    : [result.height, result.width];
  return { height: down, width: across, resultPixels: result.height * result.width };
}

/** How networks are loaded. */
export interface Loading {
  offload?: boolean;
  textEncoderBudget?: number;
  /** What their weights are asked for as. */
  forms: { textEncoder?: WeightDType; transformer?: WeightDType; vae?: WeightDType };
}

/** A call of `generate` that is decided: see `PictureCall`. */
export interface PlannedCall {
  options: FixedRun & { numImagesPerPrompt?: number; promptEmbeds?: { shape: readonly number[] }; outputType?: string };
  size: { height: number; width: number };
  painted: { height: number; width: number };
  plan: { steps: readonly unknown[] };
  guidance: { captions: readonly unknown[] };
  pictures: number;
  strength?: number;
  control?: unknown;
}

/** A pipeline's limit, with the plan for it. */
export class MemoryLimit {
  readonly #pipeline: PipelineForms;
  readonly #chosen: ChosenPlan;
  readonly #fixed: FixedChoices & Pick<Loading, "textEncoderBudget">;

  /**
   * Plans how to load a pipeline.
   *
   * @param limit Bytes of GPU memory.
   * @throws {UsageError} when nothing fits; it names the least that would.
   */
  constructor(
    pipeline: PipelineForms,
    limit: number,
    expected: ExpectedRun = {},
    fixed: FixedChoices & Pick<Loading, "textEncoderBudget"> = {},
  ) {
    if (!(limit > 0)) throw new UsageError(`Cannot keep to ${limit} bytes as maxMemory must be above 0: it is not`);
    this.#pipeline = pipeline;
    this.#fixed = fixed;
    const { pictures = 1, prompts = 1, captions = 2, steps = STEPS, fromImages = false } = expected;
    const tokens = Math.min(expected.tokens ?? TOKENS, pipeline.mostTokens ?? Infinity);
    const { sampleSize } = pipeline.transformer.config;
    const factor = pipeline.vae ? scaleFactorOf(pipeline.vae.config) : SCALE_FACTOR;
    const size = paintedSize(expected, sampleSize, factor);
    const texts = prompts * Math.min(captions, 2);
    const run = { ...size, batch: pictures, texts, tokens, captions, steps, fromImages };
    this.#chosen = planMemory(pipeline, run, limit, fixed);
  }

  /** How the networks are loaded, and a run as was expected is painted. */
  get plan(): MemoryPlan {
    return this.#chosen.plan;
  }

  /** How to load the networks. */
  get loading(): Loading {
    const { plan: { offload, textEncoderBudget }, residence } = this.#chosen;
    const { text, transformer, vae } = weightsOf(this.#pipeline, residence);
    const forms = { textEncoder: text.asked, transformer: transformer.asked, vae: vae.asked };
    return { offload, textEncoderBudget: textEncoderBudget ?? this.#fixed.textEncoderBudget, forms };
  }

  /**
   * Fits a call to the networks as they are loaded.
   *
   * @param tokens Of a prompt.
   * @param atOnce Pictures that are painted at once where memory does not say otherwise.
   * @returns The call with what it must keep to.
   * @throws {UsageError} when it does not fit; it names the least that would.
   */
  fit<Call extends PlannedCall>(call: Call, { tokens, atOnce }: { tokens: number; atOnce: number }): Call {
    const { options, painted, size, guidance: { captions }, plan, pictures } = call;
    const { vaeTiling, vaeSlicing, batchSize, promptEmbeds, outputType } = options;
    const run = {
      ...painted,
      resultPixels: size.height * size.width,
      batch: Math.min(pictures, atOnce),
      texts: promptEmbeds ? 0 : pictures / (options.numImagesPerPrompt ?? 1) * Math.min(captions.length, 2),
      tokens: promptEmbeds?.shape[1] ?? tokens,
      captions: captions.length,
      steps: plan.steps.length,
      isLatent: outputType === "latent",
      fromImages: call.strength !== undefined || call.control !== undefined,
    };
    const fit = fitRun(this.#pipeline, this.#chosen, run, { vaeTiling, vaeSlicing, batchSize });
    const kept = { vaeTiling: fit.vaeTiling, vaeSlicing: fit.vaeSlicing, batchSize: fit.batchSize };
    return { ...call, options: { ...options, ...kept } };
  }
}
