// The distribution of a less noisy sample, given the sample and the clean one (arXiv 2006.11239, equation 7). In: the
// cumulative alphas of both. Out: its mean as factors, and its variance.

/** The posterior of one step of diffusion. */
export interface Posterior {
  /** The factor of the clean sample in the mean. */
  clean: number;
  /** The factor of the noisy sample in the mean. */
  sample: number;
  /** The share of noise that the step adds in training: the highest variance that makes sense. */
  beta: number;
  /** The variance of the posterior: the lowest that makes sense. */
  variance: number;
}

/**
 * The posterior of a step from one noise level to a lower one.
 * @param alpha The cumulative alpha at the sample.
 * @param nextAlpha The cumulative alpha at the less noisy sample.
 * @param round How the reference rounds 1 - alpha / nextAlpha, which loses digits when the steps are small.
 */
export function posterior(alpha: number, nextAlpha: number, round = (value: number) => value): Posterior {
  const kept = round(alpha / nextAlpha);
  const beta = round(1 - kept);
  return {
    clean: Math.sqrt(nextAlpha) * beta / (1 - alpha),
    sample: Math.sqrt(kept) * (1 - nextAlpha) / (1 - alpha),
    beta,
    variance: (1 - nextAlpha) / (1 - alpha) * beta,
  };
}

/**
 * The noise of a step whose model says by v, from -1 to 1, where its log variance lies between two bounds (arXiv
 * 2102.09672, equation 15).
 * @param lowest The variance at v = -1.
 * @param highest The variance at v = 1.
 */
export function learnedNoise(lowest: number, highest: number) {
  const [low, high] = [Math.log(lowest), Math.log(highest)];
  return {
    noise: Math.exp((low + high) / 4),
    noiseScale: { kind: "exponential" as const, slope: (high - low) / 4 },
  };
}
