// PixArt's ControlNet (arXiv 2401.05252, section 4): copies of the first blocks see a condition beside the picture, and what they
// say is added to the tokens of the base network. In: the condition's tokens. Out: tokens of the base, changed before each block.
//   c = copy_0(x + before(condition)), then c = copy_i(c);   x += scale * after_i(c) before block i + 1 of the base

import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { asPlainFloats } from "../io/cast_weights.ts";
import { controlNetOfBase } from "../io/controlnet_names.ts";
import type { ModelFilesOptions } from "../io/model_files.ts";
import type { WeightSource } from "../io/weights.ts";
import { Linear } from "../layers/linear.ts";
import { ParameterSet } from "../layers/parameters.ts";
import { ResidentModel, type StartOptions } from "../layers/resident_model.ts";
import { add } from "../ops/add.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { TransformerBlock } from "./block.ts";
import type { TransformerConfig } from "./config.ts";
import { copiesOf, openControlNet } from "./open_controlnet.ts";

/** The blocks that the paper's ControlNet copies, of 28. */
const PAPER_COPIES = 13;

/** A control network with the condition of a picture: what a prediction is steered by. */
export interface Control {
  net: PixArtControlNetAdapterModel;
  /** [H, N, C] the condition's tokens after the first projection, the same at every step; H divides the samples. */
  hint: Tensor;
  /** [C] how strongly the copies steer, the same number for every channel. */
  scale: Tensor;
}

/** The copies of a ControlNet, which steer a PixArt transformer of the same extents. */
export class PixArtControlNetAdapterModel extends ResidentModel {
  protected readonly parameters: ParameterSet;
  /** The copied blocks; copy i stands before block i + 1 of the base. */
  readonly blocks: readonly TransformerBlock[];
  readonly #before: Linear;
  readonly #after: readonly Linear[];

  private constructor(
    readonly device: Device,
    readonly config: TransformerConfig,
    copies: number,
    dtype: WeightDType,
    protected readonly reopen: (() => Promise<WeightSource>) | undefined,
  ) {
    super();
    const parameters = this.parameters = new ParameterSet(device, "PixArtControlNetAdapterModel", dtype);
    const width = config.numAttentionHeads * config.attentionHeadDim;
    const names = Array.from({ length: copies }, (_, i) => `controlnet_blocks.${i}`);
    this.#before = new Linear(parameters, `${names[0]}.before_proj`, width, width);
    this.blocks = names.map((name, i) => new TransformerBlock(parameters, i, config, `${name}.transformer_block`));
    this.#after = names.map((name) => new Linear(parameters, `${name}.after_proj`, width, width));
  }

  /**
   * Builds the network and loads its weights.
   *
   * @param config The base's.
   * @param source Under diffusers' names: `controlnet_blocks.0.before_proj.weight` and so on.
   * @param options `dtype` is how weights are kept; `reopen` opens the same weights again, without which it is not offloaded.
   * @throws {WeightsError} when the checkpoint is no ControlNet, or not one of this base.
   */
  static async fromWeights(
    device: Device,
    config: TransformerConfig,
    source: WeightSource,
    { dtype = "f16", reopen, ...start }: StartOptions & { dtype?: WeightDType; reopen?: () => Promise<WeightSource> } =
      {},
  ): Promise<PixArtControlNetAdapterModel> {
    const net = new PixArtControlNetAdapterModel(device, config, copiesOf(source, config), dtype, reopen);
    await net.start(source, start);
    return net;
  }

  /**
   * Loads a ControlNet in either layout: the original's `.pth`, or a folder of diffusers' research project.
   *
   * @param address A path or URL of a folder or file.
   * @param options `config` is that of the base, which says the extents; no ControlNet's file does.
   * @throws {WeightsError} when the checkpoint is no ControlNet, or not one of this base.
   * @example
   * ```ts ignore
   * const { device, config } = transformer;
   * const net = await PixArtControlNetAdapterModel.fromPretrained("PixArt-XL-2-1024-ControlNet.pth", { device, config });
   * ```
   */
  static async fromPretrained(
    address: string,
    { device, config, dtype, offload, onProgress, onWarning, signal, ...open }:
      & StartOptions
      & ModelFilesOptions
      & { device: Device; config: TransformerConfig; dtype?: WeightDType },
  ): Promise<PixArtControlNetAdapterModel> {
    using source = await openControlNet(address, { ...open, signal });
    const reopen = () => openControlNet(address, open);
    const start = { dtype, offload, onProgress, onWarning, signal, reopen };
    return await PixArtControlNetAdapterModel.fromWeights(device, config, source, start);
  }

  /**
   * Makes a ControlNet that does not steer yet, as training begins with one: copies of the base's first blocks, and projections of zeros.
   *
   * @param base A transformer whose checkpoint can be read again; its LoRAs are not copied.
   * @param options `copies` is how many blocks, at most one fewer than the base has.
   * @throws {WeightsError} when the base has too few blocks.
   * @throws {UsageError} when the base was made from weights that cannot be read again.
   * @example
   * ```ts
   * import { PixArtSigmaPipeline, DEFAULT_MODEL, PixArtControlNetAdapterModel } from "@pixart/webgpu";
   * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
   * using net = await PixArtControlNetAdapterModel.fromTransformer(pipe.components.transformer, { copies: 3 });
   * console.assert(net.blocks.length === 3);
   * ```
   */
  static async fromTransformer(
    base: { device: Device; config: TransformerConfig; openCheckpoint(): Promise<WeightSource> },
    { copies = PAPER_COPIES, ...options }: StartOptions & { copies?: number; dtype?: WeightDType } = {},
  ): Promise<PixArtControlNetAdapterModel> {
    const { device, config } = base;
    const width = config.numAttentionHeads * config.attentionHeadDim;
    const reopen = async () => controlNetOfBase(asPlainFloats(await base.openCheckpoint()), copies, width);
    using source = await reopen();
    return await PixArtControlNetAdapterModel.fromWeights(device, config, source, { ...options, reopen });
  }

  /** How its weights are kept. */
  get dtype(): WeightDType {
    return this.parameters.dtype;
  }

  /**
   * Prepares a condition for all steps of a picture, in the recorder's scope.
   *
   * @param tokens [H, N, C] the condition's latents as the base embeds them, with their positions.
   * @param conditioningScale How strongly the copies steer; 0 leaves the base as it is.
   */
  prepare(rec: Recorder, tokens: Tensor, conditioningScale = 1): Control {
    const width = tokens.dim(-1);
    const scale = rec.upload(new Float32Array(width).fill(conditioningScale), [width]);
    return { net: this, hint: this.#before.forward(rec, tokens), scale };
  }

  /**
   * The tokens that the first copy sees.
   *
   * @param x [B, N, C] the base's after its first block.
   * @throws {ShapeError} when the condition is of another size.
   */
  enter(rec: Recorder, x: Tensor, { hint }: Control): Tensor {
    if (hint.dim(1) !== x.dim(1) || x.dim(0) % hint.dim(0) !== 0) {
      throw new ShapeError(`Cannot steer tokens ${x} by a condition ${hint} as both must be of one size: they differ`);
    }
    return add(rec, x, hint);
  }

  /** Adds what a copy says, c [B, N, C], to the base's tokens x in place. */
  leave(rec: Recorder, copy: number, c: Tensor, x: Tensor, { scale }: Control): Tensor {
    return this.#after[copy].forward(rec, c, { addTo: x, gate: { tensor: scale, stride: 0, offset: 0 } });
  }
}
