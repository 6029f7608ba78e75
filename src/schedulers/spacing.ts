// Where on the noise schedule a run stops. In: a number of steps and the ends of the schedule. Out: timesteps or noise
// levels, the noisiest first. Plain doubles throughout, in NumPy's order of operations, so that a rounding to a whole
// timestep falls on the same side.

/** NumPy's linspace: `count` numbers from `start` to `stop`, both included. */
export function evenly(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, index) => {
    if (index === 0) return start;
    return index === count - 1 ? stop : index * step + start;
  });
}

/** NumPy's interp over whole places: the value at `place`, between two neighbours where it lies between them. */
export function interpolate(place: number, values: ArrayLike<number>): number {
  const last = values.length - 1;
  if (!(place > 0)) return values[0];
  if (place >= last) return values[last];
  const below = Math.floor(place);
  return (values[below + 1] - values[below]) * (place - below) + values[below];
}

/** Rounds to a whole number, halves to the even one. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** The three ways of choosing timesteps (arXiv 2305.08891, table 2). */
export type TimestepSpacing = "linspace" | "leading" | "trailing";

/**
 * Chooses whole timesteps.
 * @param spacing How.
 * @param count The number of steps.
 * @param lastTimestep The number of training steps that may be used, counted from the clean end.
 * @param numTrainTimesteps The number of training steps.
 * @param stepsOffset What "leading" adds to each.
 * @returns The timesteps; "trailing" gives more or fewer than `count` in the cases below.
 */
export function spacedTimesteps(
  spacing: TimestepSpacing,
  count: number,
  lastTimestep: number,
  numTrainTimesteps: number,
  stepsOffset: number,
): number[] {
  switch (spacing) {
    case "linspace":
      return evenly(0, lastTimestep - 1, count + 1).map(roundHalfEven).reverse().slice(0, count);
    case "leading": {
      const stride = Math.floor(lastTimestep / (count + 1));
      return Array.from({ length: count }, (_, index) => (count - index) * stride + stepsOffset);
    }
    case "trailing": {
      // As NumPy's arange counts: fewer steps when lastTimestep was lowered, and for some counts (61 of 1000 is the
      // first) rounding lets one more through, at -1. The reference samples with it, so its pictures need it too.
      const stride = numTrainTimesteps / count;
      const difference = (lastTimestep - stride) - lastTimestep;
      const length = Math.ceil(lastTimestep / stride);
      return Array.from({ length }, (_, index) => roundHalfEven(lastTimestep + index * difference) - 1);
    }
  }
}

/** Noise levels that are even in sigma^(1/7) (arXiv 2206.00364, equation 5). */
export function karrasSigmas(highest: number, lowest: number, count: number): number[] {
  const rho = 7;
  const [from, to] = [highest ** (1 / rho), lowest ** (1 / rho)];
  return ramp(count).map((share) => (from + share * (to - from)) ** rho);
}

/** Noise levels that are even in log sigma. */
export function exponentialSigmas(highest: number, lowest: number, count: number): number[] {
  return evenly(Math.log(highest), Math.log(lowest), count).map(Math.exp);
}

/**
 * Noise levels that are even in log sigma, from logarithms.
 * @param highest The logarithm of the highest level.
 * @param lowest The logarithm of the lowest level.
 */
export function luSigmas(highest: number, lowest: number, count: number): number[] {
  return ramp(count).map((share) => Math.exp(highest + share * (lowest - highest)));
}

/** Noise levels spread as the Beta(0.6, 0.6) distribution, dense at both ends (arXiv 2407.12173). */
export function betaSigmas(highest: number, lowest: number, count: number): number[] {
  return ramp(count).map((share) => lowest + symmetricBetaQuantile(1 - share, 0.6) * (highest - lowest));
}

/** A way of spreading `count` noise levels between two. */
export type SigmaSpread = (highest: number, lowest: number, count: number) => number[];

/** How a config spreads noise levels, undefined when it takes those of the timesteps. */
export function sigmaSpread(
  options: { useKarrasSigmas?: boolean; useExponentialSigmas?: boolean; useBetaSigmas?: boolean },
): SigmaSpread | undefined {
  if (options.useKarrasSigmas) return karrasSigmas;
  if (options.useExponentialSigmas) return exponentialSigmas;
  if (options.useBetaSigmas) return betaSigmas;
}

/** The noise levels of flow matching, which are the time itself, from 0 to 1, moved towards noise by `shift`. */
export function flowSigmas(numTrainTimesteps: number, count: number, shift: number): number[] {
  return evenly(1, 1 / numTrainTimesteps, count + 1).map((alpha) => {
    const sigma = 1 - alpha;
    return shift * sigma / (1 + (shift - 1) * sigma);
  }).reverse().slice(0, count);
}

const ramp = (count: number) => evenly(0, 1, count);

/**
 * The quantile of the Beta(shape, shape) distribution.
 * @param probability From 0 to 1.
 * @param shape The one shape parameter, above 0.
 */
export function symmetricBetaQuantile(probability: number, shape: number): number {
  if (probability > 0.5) return 1 - symmetricBetaQuantile(1 - probability, shape);
  // Half of the distribution lies below 1/2, so no Gamma function is needed to scale the incomplete integral.
  const whole = 2 * incompleteBeta(0.5, shape);
  let [low, high] = [0, 0.5];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, shape) < probability * whole) low = middle;
    else high = middle;
  }
  return high;
}

/** The integral of (t (1 - t))^(shape - 1) from 0 to `end`, at most 1/2, by its power series. */
function incompleteBeta(end: number, shape: number): number {
  let [sum, term] = [0, 1];
  for (let power = 0; term > 1e-17; power++) {
    sum += term / (shape + power);
    term *= end * (power + 1 - shape) / (power + 1);
  }
  return end ** shape * sum;
}

/**
 * The training time at which a noise level was met, between two training steps where it lies between them.
 * @param sigma The noise level.
 * @param logSigmas [T] the logarithms of the training steps' noise levels.
 * @param round How each operation is rounded: not at all in NumPy's doubles, to float32 in PyTorch.
 * @returns The time, from 0 to T - 1.
 */
export function timestepOf(sigma: number, logSigmas: Float32Array, round = (value: number) => value): number {
  const wanted = round(Math.log(Math.max(sigma, 1e-10)));
  // The last, as the levels of a schedule with zero terminal SNR rise but for the last one.
  const below = logSigmas.findLastIndex((level) => level <= wanted);
  const index = Math.min(Math.max(below, 0), logSigmas.length - 2);
  const [low, high] = [logSigmas[index], logSigmas[index + 1]];
  const share = Math.min(Math.max(round(round(low - wanted) / Math.fround(low - high)), 0), 1);
  return round(round(round(1 - share) * index) + round(share * (index + 1)));
}
