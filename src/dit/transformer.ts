// PixArtTransformer2DModel: latents, a caption and a time become the predicted noise (and its variance).
// In: latents [B, 4, h, w]. Out: [B, 4 or 8, h, w]. The network of PixArt-α and PixArt-Σ in diffusers' layout.

import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { AdaptedModel } from "../layers/adapted_model.ts";
import { AdapterSet } from "../layers/adapters.ts";
import { FeedForward } from "../layers/feed_forward.ts";
import { ParameterSet } from "../layers/parameters.ts";
import type { StartOptions } from "../layers/resident_model.ts";
import type { WeightSource } from "../io/weights.ts";
import { unpatchify } from "../ops/unpatchify.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { TransformerBlock } from "./block.ts";
import { type MicroConditions, TimeConditioning } from "./conditioning.ts";
import type { TransformerConfig } from "./config.ts";
import type { Control } from "./controlnet.ts";
import { FinalLayer } from "./final_layer.ts";
import { joinTables, modulate } from "./modulation.ts";
import { openTransformer, type OpenTransformerOptions } from "./open_transformer.ts";
import { type EmbedOptions, PatchEmbedding } from "./patch_embedding.ts";
import { rowsAt, type TokenPart } from "./token_parts.ts";

/** A caption ready for every block: made once a picture, used at every step. */
export interface EncodedCaption {
  /** [B, L, 2 C] for each block, and then for each copy of a control network. */
  keysValues: readonly Tensor[];
  /** [B, L], added to the scores of padding. */
  mask?: Tensor;
  batch: number;
}

/** Times ready for every block: all steps of a picture in one batch. */
export interface EncodedTimes {
  /** [R, 6 C], what modulates the blocks, but for their tables. */
  modulation: Tensor;
  /** [blocks, 6 C], the tables of the blocks, and then of the copies of a control network. */
  tables: Tensor;
  /** [R, C], what modulates the final layer, but for its table. */
  embedded: Tensor;
  rows: number;
}

/** Options of one prediction. */
export interface PredictOptions {
  /** Which row of the times all samples use; without it, sample b uses row b. */
  row?: number;
  /** What the latents are multiplied by on the way in. */
  inputScale?: number;
  /** Output channels to keep, from the first; all when not given. */
  channels?: number;
  /** A control network; caption and times must have been encoded for its copies, too. */
  control?: Control;
  /** Blocks in whose self-attention the samples of the last caption keep their own values: perturbed-attention guidance. */
  perturbedBlocks?: ReadonlySet<number>;
}

/** Inputs of a whole forward pass, named as in diffusers. */
export interface TransformerInputs {
  /** [B, inChannels, h, w] */
  hiddenStates: Tensor;
  /** [B] in training steps. */
  timestep: readonly number[];
  /** [B, L, captionChannels] */
  encoderHiddenStates: Tensor;
  /** [B * L], 1 keeps and 0 masks a caption token. */
  encoderAttentionMask?: ArrayLike<number>;
  addedCondKwargs?: MicroConditions;
}

/** What is added to the score of a masked caption token; diffusers' value, so that a caption masked as a whole behaves alike. */
const MASKED = -10000;
/** The PixArt diffusion transformer. */
export class PixArtTransformer2DModel extends AdaptedModel {
  protected readonly adapterSet: AdapterSet;
  protected readonly parameters: ParameterSet;
  // Older checkpoints store the position embedding of their training grid; it is computed here.
  protected override readonly optionalNames = ["pos_embed.pos_embed"];
  readonly #patches: PatchEmbedding;
  readonly #time: TimeConditioning;
  readonly #caption: FeedForward;
  readonly #blocks: TransformerBlock[];
  readonly #final: FinalLayer;

  private constructor(
    readonly device: Device,
    readonly config: TransformerConfig,
    dtype: WeightDType | undefined,
    protected readonly reopen: (() => Promise<WeightSource>) | undefined,
  ) {
    super();
    const { captionChannels, numLayers } = config;
    const width = this.width;
    const parameters = this.parameters = new ParameterSet(
      device,
      "PixArtTransformer2DModel",
      dtype,
      "transformer_blocks.",
    );
    this.adapterSet = new AdapterSet(parameters, reopen);
    this.#patches = new PatchEmbedding(parameters, config, width);
    this.#time = new TimeConditioning(parameters, width, config);
    this.#caption = new FeedForward(
      parameters,
      ["caption_projection.linear_1", "caption_projection.linear_2"],
      captionChannels,
      width,
      width,
    );
    this.#blocks = Array.from(
      { length: numLayers },
      (_, i) => new TransformerBlock(parameters, i, config),
    );
    this.#final = new FinalLayer(parameters, config, width);
  }

  /**
   * Builds the network and loads its weights.
   *
   * @param config A parsed config.
   * @param options `dtype` is how weights are kept: f32 is the reference, f16 half the memory; int8 and int4 are those of the blocks,
   * and the others f16. Without it, blocks of small integers stay as they are stored, and all else is f16. `reopen` opens the same weights
   * again, without which the model takes no LoRA and is not offloaded.
   * @throws {WeightsError} when the checkpoint is not this network's.
   */
  static async fromWeights(
    device: Device,
    config: TransformerConfig,
    source: WeightSource,
    { dtype, reopen, ...start }: StartOptions & { dtype?: WeightDType; reopen?: () => Promise<WeightSource> } = {},
  ): Promise<PixArtTransformer2DModel> {
    const model = new PixArtTransformer2DModel(device, config, dtype, reopen);
    await model.start(source, start);
    return model;
  }

  /**
   * Loads a model in any layout: a folder of diffusers, the original's `.pth`, a single file in either naming, GGUF.
   *
   * @param address A path or URL of a folder or file; a config is looked for beside the weights, and guessed where there is none.
   * @throws {ConfigError} when the config is missing and the tensors do not tell all of it.
   * @example
   * ```ts ignore
   * const transformer = await PixArtTransformer2DModel.fromPretrained("sigma-1024", { device, subfolder: "transformer" });
   * ```
   */
  static async fromPretrained(
    address: string,
    { device, dtype, offload, onProgress, onWarning, signal, ...open }:
      & StartOptions
      & OpenTransformerOptions
      & { device: Device; dtype?: WeightDType },
  ): Promise<PixArtTransformer2DModel> {
    const { config, source } = await openTransformer(address, { ...open, signal });
    using _source = source;
    const reopen = async () => (await openTransformer(address, open)).source;
    const start = { dtype, offload, onProgress, onWarning, signal, reopen };
    return await PixArtTransformer2DModel.fromWeights(device, config, source, start);
  }

  /** How its weights are kept. */
  get dtype(): WeightDType {
    return this.parameters.dtype;
  }

  /** Width C of the image tokens. */
  get width(): number {
    return this.config.numAttentionHeads * this.config.attentionHeadDim;
  }

  protected override evict(): void {
    super.evict();
    this.#patches.evict();
  }

  /**
   * Projects a caption and makes every block's keys and values of it, in the recorder's scope.
   *
   * @param embeds [B, L, captionChannels]
   * @param mask [B * L], 1 keeps and 0 masks a token.
   * @param copies Blocks of a control network.
   * @throws {ShapeError} when the embeddings are not this model's, or the mask not theirs.
   */
  encodeCaption(
    rec: Recorder,
    embeds: Tensor,
    mask?: ArrayLike<number>,
    copies: readonly TransformerBlock[] = [],
  ): EncodedCaption {
    const [batch, tokens, channels] = embeds.shape;
    if (embeds.shape.length !== 3 || channels !== this.config.captionChannels) {
      throw new ShapeError(
        `Cannot encode caption ${embeds} as it must be [B, L, ${this.config.captionChannels}]: another shape`,
      );
    }
    if (mask && mask.length !== batch * tokens) {
      throw new ShapeError(
        `Cannot mask caption ${embeds} as there must be ${batch * tokens} mask values: ${mask.length}`,
      );
    }
    const scores = mask && Float32Array.from(mask, (keep) => (1 - keep) * MASKED);
    const projected = this.#caption.forward(rec, embeds);
    const keysValues = [...this.#blocks, ...copies].map((block) => block.keysValues(rec, projected));
    projected.dispose();
    return { keysValues, mask: scores && rec.upload(scores, [batch, tokens]), batch };
  }

  /**
   * Embeds times and makes of them what modulates the blocks, in the recorder's scope.
   *
   * @param timesteps [R]: one a sample, or all steps of a run.
   * @param micro R size conditions, for PixArt-α 1024.
   * @param copies Blocks of a control network.
   */
  encodeTimes(
    rec: Recorder,
    timesteps: readonly number[],
    micro?: MicroConditions,
    copies: readonly TransformerBlock[] = [],
  ): EncodedTimes {
    const tables = joinTables(rec, [...this.#blocks, ...copies].map(({ table }) => table));
    return { ...this.#time.forward(rec, timesteps, micro), tables, rows: timesteps.length };
  }

  /**
   * Turns latents into tokens with their positions.
   *
   * @param latents [B, inChannels, h, w]
   * @param options `scale` multiplies the latents, `repeat` says how many times the batch stands one behind the other.
   * @returns [repeat * B, N, C] in the recorder's scope.
   * @throws {ShapeError} when the latents are not this model's, or do not cut into patches.
   */
  embedLatents(rec: Recorder, latents: Tensor, options: EmbedOptions = {}): Tensor {
    return this.#patches.forward(rec, latents, options);
  }

  /**
   * Predicts from latents, a caption and a time.
   *
   * @param latents [B or B / n, inChannels, h, w]; repeated n times to the caption's batch.
   * @returns [B, channels, h, w] in the recorder's scope.
   * @throws {ShapeError} when the sizes do not fit.
   */
  predict(
    rec: Recorder,
    latents: Tensor,
    caption: EncodedCaption,
    times: EncodedTimes,
    { row, inputScale = 1, channels = this.config.outChannels, control, perturbedBlocks }: PredictOptions = {},
  ): Tensor {
    const { patchSize, numLayers } = this.config;
    const [samples, , height, width] = latents.shape;
    const { batch } = caption;
    if (batch % samples !== 0 || (row === undefined && times.rows !== batch)) {
      throw new ShapeError(
        `Cannot predict from latents ${latents} as captions and times must fit: ${batch} captions, ${times.rows} times`,
      );
    }
    const grid = { height: height / patchSize, width: width / patchSize };
    const area = grid.height * grid.width;
    return rec.scoped(() => {
      const tokens = this.#patches.inParts(rec, latents, { scale: inputScale, repeat: batch / samples });
      const rowsOf = modulate(rec, times.modulation, times.tables, this.width, row);
      let copied: TokenPart[] | undefined;
      const run = (block: TransformerBlock, i: number, tokens: TokenPart[], perturbed = 0) =>
        block.forward(rec, tokens, grid, rowsOf(i), {
          keysValues: caption.keysValues[i],
          mask: caption.mask,
        }, perturbed);
      const runAll = () =>
        this.#blocks.forEach((block, i) => {
          const copy = control?.net.blocks[i - 1]; // the first block has none before it
          if (control && copy) {
            copied ??= tokens.map((part) => ({
              ...part,
              x: control.net.enter(rec, part.x, partOf(control, part, area)),
            }));
            run(copy, numLayers + i - 1, copied);
            copied.forEach((part, at) => control.net.leave(rec, i - 1, part.x, tokens[at].x, control));
          }
          run(block, i, tokens, perturbedBlocks?.has(i) ? samples : 0);
        });
      if (row === undefined) runAll();
      else {
        // The blocks do the same at every step.
        const handed = [...tokens.map(({ x }) => x), ...caption.keysValues, rowsOf(0)[0].tensor];
        for (const tensor of [caption.mask, control?.hint, control?.scale]) if (tensor) handed.push(tensor);
        rec.replay(caption, handed, [batch, samples, grid.height, grid.width, perturbedBlocks, control?.net], runAll);
      }
      const patches = this.#final.forward(rec, tokens, this.#final.modulation(rec, times.embedded, row));
      return unpatchify(rec, patches, { patchSize, height, width, channels });
    });
  }

  /**
   * A whole forward pass, as diffusers' module does it.
   *
   * @returns [B, outChannels, h, w] in the recorder's scope.
   */
  forward(rec: Recorder, inputs: TransformerInputs): Tensor {
    return rec.scoped(() => {
      const caption = this.encodeCaption(rec, inputs.encoderHiddenStates, inputs.encoderAttentionMask);
      const times = this.encodeTimes(rec, inputs.timestep, inputs.addedCondKwargs);
      return this.predict(rec, inputs.hiddenStates, caption, times);
    });
  }
}

/** A condition as some of the base's tokens see it; one of another size is left as it is, and refused where it is added. */
function partOf(control: Control, part: TokenPart, tokens: number): Control {
  const { hint } = control;
  if (hint.dim(1) !== tokens || part.samples > 1 || (part.count === tokens && hint.dim(0) === 1)) return control;
  return { ...control, hint: rowsAt(hint, { ...part, sample: part.sample % hint.dim(0) }) };
}
