// What a model's output says of the clean sample and of the noise. In: what it predicts and the noise level. Out: factors of
// the sample and of the output.

import type { NoiseLevel } from "./dpm_solver_step.ts";
import type { Clip, Mix, StepPlan } from "./scheduler.ts";

/** What a model predicts. */
export type PredictionType = "epsilon" | "sample" | "v_prediction" | "flow_prediction";

/** The options of thresholding, and of the fixed bound that some schedulers have beside it. */
export interface ClipOptions {
  thresholding?: boolean;
  dynamicThresholdingRatio?: number;
  sampleMaxValue?: number;
  clipSample?: boolean;
  clipSampleRange?: number;
}

/**
 * The clean sample that the model means.
 * @param type What the model predicts.
 * @param level The noise level of the sample.
 */
export function cleanPrediction(type: PredictionType, { alpha, sigma }: NoiseLevel): Mix {
  switch (type) {
    case "epsilon":
      return { sample: 1 / alpha, output: -sigma / alpha };
    case "sample":
      return { sample: 0, output: 1 };
    case "v_prediction":
      return { sample: alpha, output: -sigma };
    case "flow_prediction":
      return { sample: 1, output: -sigma };
  }
}

/**
 * The noise that the model means.
 * @param type What the model predicts.
 * @param level The noise level of the sample.
 */
export function noisePrediction(type: PredictionType, { alpha, sigma }: NoiseLevel): Mix {
  switch (type) {
    case "epsilon":
      return { sample: 0, output: 1 };
    case "sample":
      return noiseBeside({ alpha, sigma });
    case "v_prediction":
      return { sample: sigma, output: alpha };
    case "flow_prediction":
      return { sample: 1, output: alpha };
  }
}

/** The noise in a sample beside a clean sample that is given in the place of the output. */
export function noiseBeside({ alpha, sigma }: NoiseLevel): Mix {
  return { sample: 1 / sigma, output: -alpha / sigma };
}

/** The bound of the clean sample, undefined when there is none. */
export function clipOf(options: ClipOptions): Clip | undefined {
  const { thresholding, dynamicThresholdingRatio: ratio = 0.995, sampleMaxValue: max = 1 } = options;
  // The threshold is at least 1 and at most `max`: with a `max` of 1 no quantile has to be found.
  if (thresholding) return max === 1 ? { kind: "range", max } : { kind: "dynamic", ratio, max };
  if (options.clipSample) return { kind: "range", max: options.clipSampleRange ?? 1 };
}

/**
 * The plan's part that turns a model output into what an exponential integrator takes.
 * @param target What it takes: the clean sample or the noise.
 * @param type What the model predicts.
 * @param level The noise level of the sample.
 * @param clip The bound of the clean sample.
 */
export function conversion(
  target: "clean" | "noise",
  type: PredictionType,
  level: NoiseLevel,
  clip: Clip | undefined,
): Pick<StepPlan, "convert" | "clip" | "restore"> {
  if (!clip) return { convert: target === "clean" ? cleanPrediction(type, level) : noisePrediction(type, level) };
  const convert = cleanPrediction(type, level);
  return target === "clean" ? { convert, clip } : { convert, clip, restore: noiseBeside(level) };
}
