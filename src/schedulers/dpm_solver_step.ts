// One step of DPM-Solver as coefficients. In: the noise levels of the last few stops and of the next one. Out: the factors
// of the sample, of the history and of fresh noise in the next sample.
//
// The solver integrates exactly over lambda = log(alpha / sigma) what is linear, and puts a polynomial through the last
// predictions for the rest: of the clean sample for DPM-Solver++ (arXiv 2211.01095), of the noise for DPM-Solver (arXiv
// 2206.00927). The sde- variants solve the stochastic equation that has the same marginals.

/** Which equation is solved: for the noise or for the clean sample (++), stochastic (sde-) or not. */
export type DPMSolverAlgorithm = "dpmsolver" | "dpmsolver++" | "sde-dpmsolver" | "sde-dpmsolver++";

/** How the second-order method takes the slope into account. */
export type DPMSolverType = "midpoint" | "heun";

/** A stop on the noise schedule: sample = alpha * clean + sigma * noise. */
export interface NoiseLevel {
  alpha: number;
  sigma: number;
}

/** The factors of x, of m0, m1, ... and of z in the next sample. */
export interface StepFactors {
  sample: number;
  history: number[];
  noise: number;
}

/** Half the logarithm of the signal-to-noise ratio, in which the solvers step. */
export const lambda = ({ alpha, sigma }: NoiseLevel) => Math.log(alpha / sigma);

/**
 * The factors of one step.
 * @param algorithm Which equation is solved.
 * @param solverType How order 2 uses its slope.
 * @param order 1, 2 or 3: how many predictions may be read.
 * @param target The stop to go to.
 * @param stops The present stop and the ones before it, the present one first; at least `order` of them.
 * @returns As many history factors as predictions are read, at most `order`.
 */
export function dpmSolverStep(
  algorithm: DPMSolverAlgorithm,
  solverType: DPMSolverType,
  order: number,
  target: NoiseLevel,
  stops: readonly NoiseLevel[],
): StepFactors {
  const step = lambda(target) - lambda(stops[0]);
  // Rounded timesteps can repeat. Nothing happens between two equal stops, and a prediction made there tells no slope.
  if (step === 0) return { sample: 1, history: [0], noise: 0 };
  const gaps = stops.slice(1, order).map((stop, index) => lambda(stops[index]) - lambda(stop));
  const used = gaps.indexOf(0);
  if (used >= 0) gaps.length = used;

  const { sample, value, slope, curve, noise } = integrals(algorithm, target, stops[0], step);
  if (gaps.length === 0) return { sample, history: [value], noise };
  // The divided differences are in units of the step: m0 - m1 over r0, m1 - m2 over r1.
  const r0 = gaps[0] / step;
  if (gaps.length === 1) {
    const tilt = (solverType === "midpoint" ? 0.5 * value : slope) / r0;
    return { sample, history: [value + tilt, -tilt], noise };
  }
  const r1 = gaps[1] / step;
  // The integral asks for the second derivative and this is half of it, so order 3 converges as order 2 does, with a smaller
  // error. The authors' own code and diffusers have it so, and their pictures are the reference.
  const newer = (slope * (1 + r0 / (r0 + r1)) + curve / (r0 + r1)) / r0;
  const older = (slope * r0 + curve) / (r0 + r1) / r1;
  return { sample, history: [value + newer, -newer - older, older], noise };
}

/**
 * What the integral over a step gives to the sample, to the prediction, to its first and second difference, and to noise.
 * @param step lambda at the target less lambda at the start.
 */
export function integrals(algorithm: DPMSolverAlgorithm, target: NoiseLevel, from: NoiseLevel, step: number) {
  const stochastic = algorithm.startsWith("sde-");
  if (algorithm.endsWith("++")) {
    const span = stochastic ? 2 * step : step;
    const gained = Math.expm1(-span);
    return {
      sample: target.sigma / from.sigma * (stochastic ? Math.exp(-step) : 1),
      value: -target.alpha * gained,
      slope: target.alpha * (gained / span + 1),
      // The stochastic integral is + 1/2 like the other; diffusers has - 1/2 there, and its pictures are the reference.
      curve: target.alpha * (-(gained + span) / span ** 2 + (stochastic ? -0.5 : 0.5)),
      noise: stochastic ? target.sigma * Math.sqrt(-gained) : 0,
    };
  }
  const gained = Math.expm1(step);
  const weight = (stochastic ? -2 : -1) * target.sigma;
  return {
    sample: target.alpha / from.alpha,
    value: weight * gained,
    slope: weight * (gained / step - 1),
    curve: weight * ((gained - step) / step ** 2 - 0.5),
    noise: stochastic ? target.sigma * Math.sqrt(Math.expm1(2 * step)) : 0,
  };
}
