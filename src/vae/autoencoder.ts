// AutoencoderKL: latents become images and images latents. In and out: [B, C, H, W], as diffusers has them; inside, images are
// [B, H, W, C]. Activations stay f32, since SDXL's VAE overflows halves.

import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { WeightSource } from "../io/weights.ts";
import { ParameterSet } from "../layers/parameters.ts";
import { ResidentModel, type StartOptions } from "../layers/resident_model.ts";
import { toChannelsLast } from "../ops/channels.ts";
import type { FloatDType } from "../ops/weight_kernels.ts";
import { type AutoencoderConfig, scaleFactorOf } from "./config.ts";
import { activationLimit, type AskedCut, cutImages, type ImageCut } from "./cutting.ts";
import { Decoder } from "./decoder.ts";
import { Encoder } from "./encoder.ts";
import { openAutoencoder, type OpenAutoencoderOptions } from "./open_autoencoder.ts";
import { sliced } from "./slicing.ts";
import { decodeTiled, defaultTiling, encodeTiled, type Tiling } from "./tiling.ts";

/** The variational autoencoder of Stable Diffusion and SDXL. */
export class AutoencoderKL extends ResidentModel {
  protected readonly parameters: ParameterSet;
  readonly #encoder: Encoder;
  readonly #decoder: Decoder;

  private constructor(
    readonly device: Device,
    readonly config: AutoencoderConfig,
    dtype: FloatDType,
    protected readonly reopen: (() => Promise<WeightSource>) | undefined,
  ) {
    super();
    this.parameters = new ParameterSet(device, "AutoencoderKL", dtype);
    this.#encoder = new Encoder(this.parameters, config);
    this.#decoder = new Decoder(this.parameters, config);
  }

  /**
   * Builds the network and loads its weights.
   *
   * @param options `reopen` opens the same weights again, without which the model is not offloaded.
   * @throws {WeightsError} when the checkpoint is not this network's.
   */
  static async fromWeights(
    device: Device,
    config: AutoencoderConfig,
    source: WeightSource,
    { dtype = "f16", reopen, ...start }: StartOptions & { dtype?: FloatDType; reopen?: () => Promise<WeightSource> } =
      {},
  ): Promise<AutoencoderKL> {
    const model = new AutoencoderKL(device, config, dtype, reopen);
    await model.start(source, start);
    return model;
  }

  /**
   * Loads a model in any layout: a folder of diffusers with names of any age, a single file of latent diffusion.
   *
   * @param address A path or URL of a folder or file; a config is looked for beside the weights, and guessed where there is none.
   * @throws {ConfigError} when the config is missing and the tensors do not tell all of it.
   * @example
   * ```ts ignore
   * const vae = await AutoencoderKL.fromPretrained("sigma-1024", { device, subfolder: "vae" });
   * ```
   */
  static async fromPretrained(
    address: string,
    { device, dtype, offload, onProgress, onWarning, signal, ...open }:
      & StartOptions
      & OpenAutoencoderOptions
      & { device: Device; dtype?: FloatDType },
  ): Promise<AutoencoderKL> {
    const { config, source } = await openAutoencoder(address, { ...open, signal });
    using _source = source;
    const reopen = async () => (await openAutoencoder(address, open)).source;
    return await AutoencoderKL.fromWeights(device, config, source, {
      dtype,
      offload,
      onProgress,
      onWarning,
      signal,
      reopen,
    });
  }

  /** Pixels a latent pixel stands for, along one axis. */
  get scaleFactor(): number {
    return scaleFactorOf(this.config);
  }

  /** How to cut a batch of images for decoding or encoding on its device: see `cutImages`. */
  cutFor(batch: number, height: number, width: number, asked: AskedCut = {}): ImageCut {
    return cutImages(this.config, activationLimit(this.device.limits), { batch, height, width }, asked);
  }

  /**
   * Decodes latents.
   *
   * @param latents [B, latentChannels, h, w], unscaled unless `scale` and `shift` undo the scaling: z = scale * x + shift.
   * @param options `slicing` decodes image by image and `tiling` tile by tile: see `cutFor`.
   * @returns [B, H, W, outChannels], about -1..1, in the recorder's scope.
   * @throws {ShapeError} when the latents are not this model's.
   */
  decode(
    rec: Recorder,
    latents: Tensor,
    { slicing = false, ...options }: { scale?: number; shift?: number; tiling?: Tiling; slicing?: boolean } = {},
  ): Tensor {
    this.#check("decode latents", latents, this.config.latentChannels);
    return slicing
      ? sliced(rec, latents, (one) => this.#decode(rec, one, options))
      : this.#decode(rec, latents, options);
  }

  #decode(
    rec: Recorder,
    latents: Tensor,
    { scale, shift, tiling }: { scale?: number; shift?: number; tiling?: Tiling },
  ): Tensor {
    return rec.scoped(() => {
      const channelsLast = toChannelsLast(rec, latents, { scale, shift });
      const decode = (tile: Tensor) => this.#decoder.forward(rec, tile);
      return tiling ? decodeTiled(rec, channelsLast, tiling, decode) : decode(channelsLast);
    });
  }

  /** diffusers' tiling for this model. */
  get defaultTiling(): Tiling {
    return defaultTiling(this.config.sampleSize, this.scaleFactor);
  }

  /**
   * Encodes images to the moments of their latents.
   *
   * @param image [B, inChannels, H, W] in -1..1, H and W multiples of the scale factor.
   * @param options `slicing` encodes image by image and `tiling` tile by tile: see `cutFor`.
   * @returns [B, h, w, 2 * latentChannels]: means, then log-variances before they are clamped, in the recorder's scope.
   * @throws {ShapeError} when the image is not this model's.
   */
  encode(
    rec: Recorder,
    image: Tensor,
    { slicing = false, tiling }: { tiling?: Tiling; slicing?: boolean } = {},
  ): Tensor {
    this.#check("encode image", image, this.config.inChannels);
    const encode = (tile: Tensor) => rec.scoped(() => this.#encoder.forward(rec, toChannelsLast(rec, tile)));
    const one = (image: Tensor) => tiling ? encodeTiled(rec, image, tiling, this.scaleFactor, encode) : encode(image);
    return slicing ? sliced(rec, image, one) : one(image);
  }

  #check(verb: string, tensor: Tensor, channels: number): void {
    if (tensor.shape.length !== 4 || tensor.dim(1) !== channels) {
      throw new ShapeError(`Cannot ${verb} ${tensor} as it must be [B, ${channels}, H, W]: another shape`);
    }
  }
}
