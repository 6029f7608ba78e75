// What the pipeline is called with for a job. In: a job, and a pipeline, which knows sizes. Out: the options of `generate` that need no
// picture of the user's.

import type { GenerateOptions } from "../pipelines/generate_options.ts";
import type { PictureJob } from "./picture_jobs.ts";
import { pictureSize, type SizedPipeline } from "./picture_size.ts";

/** The options of a job, without pictures to start from or to be steered by. */
export function callOptions({ flags, seed }: PictureJob, pipe: SizedPipeline): GenerateOptions {
  return {
    negativePrompt: flags.negative,
    numInferenceSteps: flags.steps,
    guidanceScale: flags.guidance,
    numImagesPerPrompt: flags.numImages,
    ...pictureSize(flags, pipe),
    seed,
    cleanCaption: flags.cleanCaption,
    useResolutionBinning: flags.binning,
    maxSequenceLength: flags.maxSequenceLength,
    promptWeighting: flags.promptWeighting,
    timesteps: flags.timesteps,
    eta: flags.eta,
    guidanceVariant: flags.originalGuidance ? "original" : undefined,
    pagScale: flags.pagScale,
    pagAdaptiveScale: flags.pagAdaptiveScale,
    pagAppliedLayers: flags.pagLayers,
  };
}
