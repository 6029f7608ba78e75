// The options that many schedulers share, with diffusers' defaults where all of them agree. In: what differs from those.
// Out: parts of a table of options.

import { choice, flag, nullable, number, numbers } from "./config.ts";

/**
 * The options of the noise schedule that the model was trained with.
 * @param betaStart The first beta when none is given.
 * @param betaEnd The last beta when none is given.
 */
export const training = (betaStart = 0.0001, betaEnd = 0.02) => ({
  numTrainTimesteps: number(1000, "a whole number above 1", (value) => Number.isInteger(value) && value > 1),
  betaStart: number(betaStart, "in [0, 1)", (value) => value >= 0 && value < 1),
  betaEnd: number(betaEnd, "in [0, 1)", (value) => value >= 0 && value < 1),
  betaSchedule: choice(["linear", "scaled_linear", "squaredcos_cap_v2"], "linear"),
  trainedBetas: nullable(numbers),
});

/** How timesteps are chosen. */
export const spacing = (fallback: "linspace" | "leading" | "trailing") => ({
  timestepSpacing: choice(["linspace", "leading", "trailing"], fallback),
  stepsOffset: number(0, "a whole number", Number.isInteger),
});

/** What a diffusion model of the noise, of the sample or of the velocity between them predicts. */
export const prediction = { predictionType: choice(["epsilon", "sample", "v_prediction"], "epsilon") };

/** The same, and the velocity of flow matching. */
export const flowPrediction = {
  predictionType: choice(["epsilon", "sample", "v_prediction", "flow_prediction"], "epsilon"),
};

/** Dynamic thresholding of the predicted clean sample. */
export const thresholding = {
  thresholding: flag(false),
  dynamicThresholdingRatio: number(0.995, "in [0, 1]", (value) => value >= 0 && value <= 1),
  sampleMaxValue: number(1, "a number above 0", (value) => value > 0),
};

/** A fixed bound of the predicted clean sample. */
export const sampleClipping = (fallback: boolean) => ({
  clipSample: flag(fallback),
  clipSampleRange: number(1, "a number above 0", (value) => value > 0),
});

/** Other noise levels than those of the timesteps; one of them at most. */
export const sigmaSpacings = {
  useKarrasSigmas: flag(false),
  useExponentialSigmas: flag(false),
  useBetaSigmas: flag(false),
};

/** The noise levels of flow matching. */
export const flowSpacing = {
  useFlowSigmas: flag(false),
  flowShift: number(1, "a number above 0", (value) => value > 0),
};

/** A shift of flow times that the caller gives as `mu`. */
export const dynamicShifting = {
  useDynamicShifting: flag(false),
  timeShiftType: choice(["exponential"], "exponential"),
};
