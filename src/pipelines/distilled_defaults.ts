// How models are sampled that were distilled to few steps: what a call does unless it says otherwise, by the names of
// `GenerateOptions`, and what their scheduler does.

/** Latent consistency models (arXiv 2310.04378). */
export const LCM_DEFAULTS = { numInferenceSteps: 4, guidanceScale: 0 };

/** DMD (arXiv 2311.18828): the time that the generator was taught to be asked at; its noise is taken for that of this time. */
export const DMD_DEFAULTS = { numInferenceSteps: 1, timesteps: [400], guidanceScale: 1 };

/** What makes a DDPM scheduler's only step give the clean sample that such a generator predicts, as it is. */
export const DMD_SCHEDULER = { varianceType: "fixed_small", clipSample: false, thresholding: false };
