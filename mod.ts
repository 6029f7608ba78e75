/**
 * PixArt-α and PixArt-Σ on WebGPU: text becomes tokens, a diffusion transformer denoises latents, a VAE paints pixels, all in
 * hand-written WGSL.
 *
 * Shapes are written in brackets, outermost axis first, with these letters everywhere: `B` batch, `L` caption tokens, `N` image
 * tokens, `C` width (channels), `H` heads, `D` head width; `h w` the latent grid, `H W` pixels where an image is meant.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtSigmaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
 * const { images } = await pipe.generate("a red apple on a blue background", { seed: 0, numInferenceSteps: 2 });
 * console.assert((await images[0].encode()).length > 0);
 * ```
 *
 * @module
 */

export * from "./src/errors.ts";
export { type Backend } from "./src/gpu/backend.ts";
export { Device, type DeviceOptions } from "./src/gpu/device.ts";
export { type KernelTime, Profile } from "./src/gpu/profile.ts";
export { read, readAll } from "./src/gpu/readback.ts";
export { Recorder } from "./src/gpu/recorder.ts";
export { type DType, type HostArray, Tensor } from "./src/gpu/tensor.ts";

export { bytesOf, type ByteSource, openBytes } from "./src/io/byte_source.ts";
export { openWeights } from "./src/io/checkpoint_folder.ts";
export { downloadModel, resolveModel } from "./src/io/hub.ts";
export { edgeImage } from "./src/io/edge_image.ts";
export { openWeightsFile } from "./src/io/open_weights_file.ts";
export { decodePng, Image } from "./src/io/image.ts";
export { loadImage } from "./src/io/load_image.ts";
export { encodeSafetensors, openSafetensors } from "./src/io/safetensors.ts";
export { readFloats, type WeightSource } from "./src/io/weights.ts";
export { Generator } from "./src/random/generator.ts";

export { AdaptedModel } from "./src/layers/adapted_model.ts";
export { ResidentModel, type WeightSizes } from "./src/layers/resident_model.ts";
export { type AdapterInfo, type LoadLoraOptions } from "./src/layers/adapters.ts";
export { cleanCaption, preprocessCaption } from "./src/text/caption.ts";
export { T5EncoderModel } from "./src/text/t5_encoder.ts";
export { T5Tokenizer } from "./src/text/tokenizer.ts";
export { type MicroConditions } from "./src/dit/conditioning.ts";
export { PixArtControlNetAdapterModel } from "./src/dit/controlnet.ts";
export { PixArtTransformer2DModel, type TransformerInputs } from "./src/dit/transformer.ts";
export { AutoencoderKL } from "./src/vae/autoencoder.ts";
export { type Tiling } from "./src/vae/tiling.ts";
export { type DPMSolverMultistepConfig, DPMSolverMultistepScheduler } from "./src/schedulers/dpm_solver_multistep.ts";
export { DDIMScheduler } from "./src/schedulers/ddim.ts";
export { DDPMScheduler } from "./src/schedulers/ddpm.ts";
export { DEISMultistepScheduler } from "./src/schedulers/deis_multistep.ts";
export { DPMS } from "./src/schedulers/original_dpms.ts";
export { DPMSolverSinglestepScheduler } from "./src/schedulers/dpm_solver_singlestep.ts";
export { EulerAncestralDiscreteScheduler } from "./src/schedulers/euler_ancestral_discrete.ts";
export { EulerDiscreteScheduler } from "./src/schedulers/euler_discrete.ts";
export { HeunDiscreteScheduler } from "./src/schedulers/heun_discrete.ts";
export { IDDPM } from "./src/schedulers/original_iddpm.ts";
export { LCMScheduler } from "./src/schedulers/lcm.ts";
export { LMSDiscreteScheduler } from "./src/schedulers/lms_discrete.ts";
export { PNDMScheduler } from "./src/schedulers/pndm.ts";
export { SASolverSampler } from "./src/schedulers/original_sa_solver.ts";
export { SASolverScheduler } from "./src/schedulers/sa_solver.ts";
export { UniPCMultistepScheduler } from "./src/schedulers/unipc_multistep.ts";
export { schedulerFromConfig, SCHEDULERS } from "./src/schedulers/registry.ts";
export { type Scheduler, type StepPlan } from "./src/schedulers/scheduler.ts";

export { type PipelineComponents, type PipelineLoadOptions } from "./src/pipelines/components.ts";
export { type FirstCall, type RehearsedPipeline } from "./src/pipelines/rehearsal.ts";
export { type ExpectedRun, MemoryLimit } from "./src/pipelines/memory_limit.ts";
export { type MemoryPlan } from "./src/pipelines/memory_plan.ts";
export { DEFAULT_MODEL } from "./src/pipelines/default_model.ts";
export {
  type GenerateOptions,
  type GenerateResult,
  type HostTensor,
  type StartImageOptions,
  type StepInfo,
} from "./src/pipelines/generate_options.ts";
export { type GuidanceVariant } from "./src/pipelines/guidance.ts";
export {
  type ControlnetLoadOptions,
  type ControlnetOptions,
  PixArtAlphaControlnetPipeline,
  PixArtSigmaControlnetPipeline,
} from "./src/pipelines/pixart_controlnet_pipelines.ts";
export { PixArtAlphaDMDPipeline } from "./src/pipelines/pixart_alpha_dmd_pipeline.ts";
export { PixArtAlphaLCMPipeline } from "./src/pipelines/pixart_alpha_lcm_pipeline.ts";
export { HEDdetector, type HEDLoadOptions } from "./src/pipelines/hed_detector.ts";
export { PixArtAlphaPipeline } from "./src/pipelines/pixart_alpha_pipeline.ts";
export { PixArtSigmaPAGPipeline } from "./src/pipelines/pixart_sigma_pag_pipeline.ts";
export { PixArtSigmaPipeline } from "./src/pipelines/pixart_sigma_pipeline.ts";
export { type EncodedPrompt, type EncodePromptOptions } from "./src/pipelines/prompt_encoding.ts";
export { readTileTables, type TileTables, useTiles } from "./src/ops/tile_tables.ts";
export { type TileRow, type TileSearch } from "./src/tune/search.ts";
export { type TuneOptions, tuneTiles } from "./src/tune/tune_tiles.ts";
export { type TunedTiles, useTunedTiles } from "./src/tune/tuned_tiles.ts";
export { convertModel } from "./src/checkpoints/convert.ts";
export { describeModel } from "./src/checkpoints/describe_model.ts";
export { makeRandom } from "./src/checkpoints/make_random.ts";
export { mergeModels } from "./src/checkpoints/merge.ts";
export { verifyFolder, type VerifyReport } from "./src/verify/verify.ts";
