// The options of the multistep DPM-Solver. In: what the caller or diffusers' JSON gives. Out: a whole config whose
// options fit together.

import { ConfigError } from "../errors.ts";
import { choice, flag, lowerBound, nullable, number, numbers, type OptionValues, readOptions } from "./config.ts";

const OPTIONS = {
  numTrainTimesteps: number(1000, "a whole number above 1", (value) => Number.isInteger(value) && value > 1),
  betaStart: number(0.0001, "in [0, 1)", (value) => value >= 0 && value < 1),
  betaEnd: number(0.02, "in [0, 1)", (value) => value >= 0 && value < 1),
  betaSchedule: choice(["linear", "scaled_linear", "squaredcos_cap_v2"], "linear"),
  trainedBetas: nullable(numbers),
  solverOrder: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  predictionType: choice(["epsilon", "sample", "v_prediction", "flow_prediction"], "epsilon"),
  thresholding: flag(false),
  dynamicThresholdingRatio: number(0.995, "in [0, 1]", (value) => value >= 0 && value <= 1),
  sampleMaxValue: number(1, "a number above 0", (value) => value > 0),
  // Configs of the related DEIS and UniPC schedulers hold the other words, and diffusers reads them so.
  algorithmType: choice(["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"], "dpmsolver++", {
    deis: "dpmsolver++",
  }),
  solverType: choice(["midpoint", "heun"], "midpoint", { logrho: "midpoint", bh1: "midpoint", bh2: "midpoint" }),
  lowerOrderFinal: flag(true),
  eulerAtFinal: flag(false),
  useKarrasSigmas: flag(false),
  useExponentialSigmas: flag(false),
  useBetaSigmas: flag(false),
  useLuLambdas: flag(false),
  useFlowSigmas: flag(false),
  flowShift: number(1, "a number above 0", (value) => value > 0),
  finalSigmasType: choice(["zero", "sigma_min"], "zero"),
  lambdaMinClipped: lowerBound(-Infinity),
  // Of a model that predicts a variance too, the first half of the channels is what the solver reads; the pipeline
  // splits it off for every scheduler, so these words change nothing here.
  varianceType: nullable(choice(["learned", "learned_range"], "learned")),
  timestepSpacing: choice(["linspace", "leading", "trailing"], "linspace"),
  stepsOffset: number(0, "a whole number", Number.isInteger),
  rescaleBetasZeroSnr: flag(false),
  useDynamicShifting: flag(false),
  timeShiftType: choice(["exponential"], "exponential"),
};

/** The options of {@linkcode DPMSolverMultistepScheduler}; names and meanings are those of diffusers. */
export type DPMSolverMultistepConfig = Readonly<OptionValues<typeof OPTIONS>>;

/** The name of the class, for messages. */
export const OWNER = "DPMSolverMultistepScheduler";

/**
 * Reads the options of a multistep DPM-Solver.
 * @param given Names in camelCase or snake_case.
 * @returns The config, and the keys that are no option of it.
 * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
 */
export function readDPMSolverConfig(given: unknown): { values: DPMSolverMultistepConfig; unknownKeys: string[] } {
  const { values: config, unknownKeys } = readOptions(OWNER, OPTIONS, given);
  const spacings = (["useKarrasSigmas", "useExponentialSigmas", "useBetaSigmas"] as const).filter((key) => config[key]);
  if (spacings.length > 1) refuse("only one spacing of the noise levels can be used", spacings.join(" and "));
  if (config.useFlowSigmas && (spacings.length > 0 || config.useLuLambdas)) {
    refuse("useFlowSigmas replaces every other spacing", [...spacings, "useLuLambdas"][0]);
  }
  const ofNoise = !config.algorithmType.endsWith("++");
  if (ofNoise && config.finalSigmasType === "zero") {
    refuse(`algorithmType "${config.algorithmType}" needs finalSigmasType "sigma_min"`, '"zero"');
  }
  if (ofNoise && config.predictionType === "flow_prediction") {
    refuse('predictionType "flow_prediction" needs an algorithmType with ++', `"${config.algorithmType}"`);
  }
  if (config.algorithmType === "sde-dpmsolver" && config.solverOrder === 3) {
    refuse('algorithmType "sde-dpmsolver" has orders 1 and 2', "solverOrder 3");
  }
  return { values: config, unknownKeys };
}

function refuse(rule: string, state: string): never {
  throw new ConfigError(`Cannot make ${OWNER} as ${rule}: ${state}`);
}
