// What to do so that a run keeps to a limit of GPU memory. In: what networks take in each form, a run, a limit. Out: a plan, the one that
// loses least. It is a search through all ways in the order of what they cost, so that the first that fits is the best:
//   1. Nothing is given up.
//   2. Pictures one by one through the VAE, then fewer at once through everything: the same numbers, hardly slower.
//   3. The text encoder's blocks read one after another: the same numbers, a read of its file for each prompt.
//   4. Offload, each network there only while it works: the same numbers, a read of all files for each picture.
//   5. VAE tiles, as large as they may be: a picture that differs a little near the seams.
//   6. Weights in fewer bits, the text encoder's before the transformer's: a picture that differs as a whole.

import { UsageError } from "../errors.ts";
import { formatBytes } from "../io/byte_words.ts";
import { scaleFactorOf } from "../vae/config.ts";
import { activationLimit, cutImages, type ImageCut, largestActivation } from "../vae/cutting.ts";
import { defaultTiling, type Tiling } from "../vae/tiling.ts";
import { type Painting, type PipelineForms, type Residence, runBytes, weightsOf } from "./memory_stages.ts";
import { type MemoryChoices, planWords } from "./memory_words.ts";

/** What the caller has chosen, and the plan keeps to. */
export interface FixedChoices {
  offload?: boolean;
}

/** What of a run the caller has chosen. */
export interface FixedRun {
  vaeTiling?: boolean | Tiling;
  vaeSlicing?: boolean;
  batchSize?: number;
}

/** How a run is painted within a limit. */
export interface RunFit extends Pick<MemoryChoices, "batchSize" | "vaeSlicing" | "vaeTiling"> {
  /** The most bytes at once, estimated. */
  peakBytes: number;
}

/**
 * How networks are loaded, and pictures painted, within a limit.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtSigmaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { maxMemory: 10e6 });
 * const { plan } = pipe.components.memory!;
 * console.assert(plan.offload && plan.words.length > 0); // `words` say so
 * await pipe.generate("a red apple on a blue background", { seed: 0, numInferenceSteps: 1 });
 * console.assert(pipe.device.ledger.peak <= plan.peakBytes && plan.peakBytes <= plan.limit);
 * ```
 */
export interface MemoryPlan extends MemoryChoices, RunFit {
  /** Bytes that may be taken. */
  limit: number;
  /** What is given up, in words; empty when nothing is. */
  words: string[];
}

/** A plan with the forms that it chose. */
export interface ChosenPlan {
  plan: MemoryPlan;
  residence: Residence;
}

/** Shares of the VAE's own tile, from the largest on. */
const TILES = [1, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125];

/** Forms of the two large networks, by how much is lost in all, and the text encoder's first. */
function* formsOf({ textEncoder, transformer }: PipelineForms): Generator<[textEncoder: number, transformer: number]> {
  const texts = textEncoder?.forms.length ?? 1, transformers = transformer.forms.length;
  for (let loss = 0; loss < texts + transformers - 1; loss++) {
    for (let j = 0; j <= loss; j++) if (loss - j < texts && j < transformers) yield [loss - j, j];
  }
}

function* modesOf(
  { textEncoder }: PipelineForms,
  fixed: FixedChoices,
): Generator<Pick<Residence, "offload" | "streams">> {
  for (const offload of fixed.offload === undefined ? [false, true] : [fixed.offload]) {
    yield { offload, streams: false };
    if (textEncoder?.forms[0].streamed) yield { offload, streams: true };
  }
}

/** The whole batch, then halves of it. */
function* batchesOf(pictures: number, fixed: FixedRun): Generator<[batch: number, slicing: boolean]> {
  for (let batch = Math.min(fixed.batchSize ?? pictures, pictures);; batch = Math.ceil(batch / 2)) {
    if (!fixed.vaeSlicing) yield [batch, false];
    if (batch > 1 || fixed.vaeSlicing) yield [batch, true];
    if (batch === 1 || fixed.batchSize !== undefined) return;
  }
}

/** Nothing but what the device asks for, then tiles; those that the caller asks for only. */
function* tilingsOf({ vae, limits }: PipelineForms, { height, width }: Painting, { vaeTiling }: FixedRun) {
  yield vaeTiling;
  if (!vae || typeof vaeTiling === "object") return;
  const scaleFactor = scaleFactorOf(vae.config);
  const step = 4 * scaleFactor; // so that a quarter of a tile, the overlap, is whole latent pixels
  for (const share of TILES) {
    const side = Math.floor(vae.config.sampleSize * share / step) * step;
    const isCut = side >= 2 * step && side < Math.max(height, width);
    if (isCut && largestActivation(vae.config, side ** 2) <= activationLimit(limits)) {
      yield defaultTiling(side, scaleFactor);
    }
  }
}

/** Every way to paint a run with networks as they are, the best first. */
function* fitsOf(
  pipeline: PipelineForms,
  residence: Residence,
  run: Painting,
  limit: number,
  tiling: boolean | Tiling | undefined,
  fixed: FixedRun,
): Generator<RunFit & { textEncoderBudget?: number }> {
  const { vae, limits } = pipeline;
  for (const [batch, slicing] of batchesOf(run.batch, fixed)) {
    const cut: ImageCut | undefined = vae &&
      cutImages(vae.config, activationLimit(limits), { ...run, batch }, { tiling, slicing });
    const { peak, textEncoderBudget } = runBytes(pipeline, residence, { ...run, batch }, cut, limit);
    yield {
      batchSize: batch,
      vaeSlicing: cut?.slicing ?? false,
      vaeTiling: cut?.tiling,
      peakBytes: peak,
      textEncoderBudget,
    };
  }
}

function refuse(limit: number, { batch, height, width }: Painting, least: number, words: readonly string[]): never {
  const pictures = `${batch === 1 ? "a picture" : `${batch} pictures`} of ${width}x${height}`;
  const how = words.length > 0 ? `, with ${words.join("; ")}` : "";
  throw new UsageError(
    `Cannot generate ${pictures} within ${formatBytes(limit)} of GPU memory as the least that does is ` +
      `${formatBytes(least)} (${least} bytes${how}): allow as much, or ask for less`,
  );
}

/**
 * Plans how networks are loaded and a run is painted.
 *
 * @param run What is painted; `batch` is all pictures that are asked for.
 * @param limit Bytes.
 * @throws {UsageError} when nothing fits; it names the least that would.
 */
export function planMemory(
  pipeline: PipelineForms,
  run: Painting,
  limit: number,
  fixed: FixedChoices = {},
): ChosenPlan {
  let best: ChosenPlan | undefined;
  for (const [textEncoder, transformer] of formsOf(pipeline)) {
    for (const tiling of tilingsOf(pipeline, run, {})) {
      for (const mode of modesOf(pipeline, fixed)) {
        const residence = { textEncoder, transformer, ...mode };
        for (const fit of fitsOf(pipeline, residence, run, limit, tiling, {})) {
          if (best && fit.peakBytes > limit && fit.peakBytes >= best.plan.peakBytes) continue;
          const weights = weightsOf(pipeline, residence);
          const plan: MemoryPlan = {
            limit,
            ...fit,
            offload: mode.offload,
            textEncoder: pipeline.textEncoder && weights.text.dtype,
            transformer: weights.transformer.dtype,
            vae: pipeline.vae && weights.vae.dtype,
            words: [],
          };
          plan.words = planWords(plan, residence, run.batch);
          best = { plan, residence };
          if (fit.peakBytes <= limit) return best;
        }
      }
    }
  }
  return refuse(limit, run, best!.plan.peakBytes, best!.plan.words);
}

/**
 * Fits a run to networks that are loaded as planned.
 *
 * @param fixed What the call asks for.
 * @throws {UsageError} when it does not fit; it names the least that would.
 */
export function fitRun(
  pipeline: PipelineForms,
  { plan: { limit }, residence }: ChosenPlan,
  run: Painting,
  fixed: FixedRun = {},
): RunFit {
  let least = Infinity;
  for (const tiling of tilingsOf(pipeline, run, fixed)) {
    for (const { textEncoderBudget: _, ...fit } of fitsOf(pipeline, residence, run, limit, tiling, fixed)) {
      if (fit.peakBytes <= limit) return fit;
      least = Math.min(least, fit.peakBytes);
    }
  }
  return refuse(limit, run, least, []);
}
