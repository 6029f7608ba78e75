// T5EncoderModel: token ids become the caption's embedding. In: ids and mask [B, L]. Out: [B, L, C] f32.
// Activations stay f32 whatever the weights, since T5-XXL overflows halves.

import { ShapeError, UsageError, WeightsError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { ModelFilesOptions } from "../io/model_files.ts";
import { lentWeights } from "../io/lent_weights.ts";
import { readFloats, type WeightSource } from "../io/weights.ts";
import { notFinite } from "../layers/finite_notes.ts";
import { type LoadOptions, ParameterSet } from "../layers/parameters.ts";
import { ResidentModel, type StartOptions, type WeightSizes } from "../layers/resident_model.ts";
import { RmsNorm } from "../layers/rms_norm.ts";
import { streamParts } from "../layers/stream_parts.ts";
import { embedding } from "../ops/embedding.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { openTextEncoder } from "./open_text_encoder.ts";
import { T5Block } from "./t5_block.ts";
import type { T5Config } from "./t5_config.ts";
import { type EmbeddingRows, readEmbeddingRows } from "./t5_embedding_rows.ts";
import { relativeBiasByDistance } from "./t5_relative_bias.ts";

const EMBEDDINGS = ["shared.weight", "encoder.embed_tokens.weight"]; // tied: checkpoints have one or both
const RELATIVE_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
/** The lowest f32, which transformers adds to the scores of padding. */
const MASKED = -3.4028234663852886e38;

/** How an encoder is loaded. */
export interface TextEncoderOptions extends StartOptions {
  /** How weights are kept; as stored where those are blocks of small integers, and else f16, when not given. */
  dtype?: WeightDType;
  /** Bytes of GPU memory for its weights; where they take more, blocks are read one after another as a text is encoded. */
  weightBudget?: number;
}

/** The encoder of T5 v1.1. */
export class T5EncoderModel extends ResidentModel {
  protected readonly parameters: ParameterSet;
  protected override readonly optionalNames = [...EMBEDDINGS, RELATIVE_BIAS];
  readonly #blocks: T5Block[];
  /** The parameters of each block, and those behind the blocks. */
  readonly #parts: ParameterSet[];
  readonly #rest: ParameterSet;
  readonly #finalNorm: RmsNorm;
  #relativeBias = new Float32Array();
  /** Whether blocks are read as they run, and then whether one is read ahead. */
  #streaming: { ahead: boolean } | undefined;

  private constructor(
    readonly device: Device,
    readonly config: T5Config,
    private readonly source: WeightSource,
    private readonly embeddings: string,
    dtype: WeightDType | undefined,
  ) {
    super();
    const { numLayers, dModel, layerNormEpsilon } = config;
    const parameters = this.parameters = new ParameterSet(device, "T5EncoderModel", dtype, "encoder.block.");
    this.#parts = Array.from({ length: numLayers }, () => parameters.part());
    this.#blocks = this.#parts.map((part, i) => new T5Block(part, `encoder.block.${i}`, config));
    this.#rest = parameters.part();
    this.#finalNorm = new RmsNorm(this.#rest, "encoder.final_layer_norm", dModel, layerNormEpsilon);
  }

  /**
   * Builds the network and loads its weights, but for the embedding table, whose rows are read from the file as texts need them.
   *
   * @param source The checkpoint; the model keeps it open and disposes it.
   * @throws {WeightsError} when the checkpoint is not this network's.
   * @throws {UsageError} when not even one block fits the budget.
   */
  static async fromWeights(
    device: Device,
    config: T5Config,
    source: WeightSource,
    { dtype, weightBudget, ...start }: TextEncoderOptions = {},
  ): Promise<T5EncoderModel> {
    try {
      const embeddings = EMBEDDINGS.find((name) => source.has(name));
      if (!embeddings) {
        throw new WeightsError(
          `Cannot load T5EncoderModel from ${source.name} as it must have ${EMBEDDINGS[0]}: missing`,
        );
      }
      const { shape } = source.info(embeddings);
      if (shape.length !== 2 || shape[0] < config.vocabSize || shape[1] !== config.dModel) {
        throw new WeightsError(
          `Cannot load ${embeddings} [${shape}] of ${source.name} as it must be [${config.vocabSize}, ${config.dModel}]`,
        );
      }
      const bias = [config.relativeAttentionNumBuckets, config.numHeads];
      if (!source.has(RELATIVE_BIAS) || source.info(RELATIVE_BIAS).shape.join() !== bias.join()) {
        throw new WeightsError(`Cannot load T5EncoderModel from ${source.name} as ${RELATIVE_BIAS} must be [${bias}]`);
      }
      const model = new T5EncoderModel(device, config, source, embeddings, dtype);
      model.#relativeBias = await readFloats(source, RELATIVE_BIAS);
      if (!model.#relativeBias.every(Number.isFinite)) start.onWarning?.(notFinite([RELATIVE_BIAS], source.name));
      model.parameters.check(source, model.optionalNames);
      model.#keepWithin(weightBudget);
      await model.start(source, start);
      return model;
    } catch (error) {
      source[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Loads a model in any layout: a folder of transformers with safetensors or `.bin`, a single file, GGUF.
   *
   * @param address A path or URL of a folder or file; a config is looked for beside the weights, and guessed where there is none.
   * @example
   * ```ts ignore
   * const textEncoder = await T5EncoderModel.fromPretrained("sigma-1024", { device, subfolder: "text_encoder" });
   * ```
   */
  static async fromPretrained(
    address: string,
    { device, dtype, weightBudget, offload, onProgress, onWarning, signal, ...open }:
      & TextEncoderOptions
      & ModelFilesOptions
      & { device: Device },
  ): Promise<T5EncoderModel> {
    const { config, source } = await openTextEncoder(address, { ...open, signal });
    const options = { dtype, weightBudget, offload, onProgress, onWarning, signal };
    return await T5EncoderModel.fromWeights(device, config, source, options);
  }

  /** Frees its weights for good and closes its checkpoint. */
  override dispose(): void {
    super.dispose();
    this.source[Symbol.dispose]();
  }

  // The checkpoint stays open for the embedding rows.
  protected readonly reopen = () => Promise.resolve(lentWeights(this.source));

  /** How its linear layers are kept; most bytes of them where the checkpoint decides. */
  get dtype(): WeightDType {
    return this.parameters.dtype;
  }

  /** Whether its blocks are read anew for each text, since they do not fit its budget all at once. */
  get isStreamed(): boolean {
    return this.#streaming !== undefined;
  }

  override get isLoaded(): boolean {
    return this.#streaming ? this.#rest.isLoaded : super.isLoaded;
  }

  protected override async fill(source: WeightSource, options: LoadOptions): Promise<void> {
    if (!this.#streaming) return await super.fill(source, options);
    this.parameters.check(source, this.optionalNames);
    await this.#rest.read(source, options);
  }

  protected override measure(source: WeightSource): WeightSizes {
    return { ...super.measure(source), streamed: { block: this.#block, rest: this.#rest.bytes } };
  }

  /** Bytes of the largest block. */
  get #block(): number {
    return Math.max(...this.#parts.map((part) => part.bytes));
  }

  #keepWithin(budget: number | undefined): void {
    const staging = this.parameters.stagingBytes(this.source);
    if (budget === undefined || this.parameters.bytes + staging <= budget) return;
    const block = this.#block;
    const least = this.#rest.bytes + block + staging;
    if (least > budget) {
      throw new UsageError(
        `Cannot keep the weights of T5EncoderModel within ${budget} bytes as one block must fit: it takes ${least}`,
      );
    }
    this.#streaming = { ahead: least + block <= budget };
  }

  /**
   * Encodes texts, loading what is not loaded.
   *
   * @param scope Holds the result.
   * @param inputIds [B * L]
   * @param batch B texts of L tokens each.
   * @param attentionMask [B * L], 1 keeps and 0 masks a token.
   * @returns [B, L, C]
   * @throws {ShapeError} when an id is outside the vocabulary, or the sizes do not fit.
   */
  async encode(
    scope: Scope,
    inputIds: ArrayLike<number>,
    batch: number,
    attentionMask?: ArrayLike<number>,
    options: LoadOptions = {},
  ): Promise<Tensor> {
    const rows = await this.embeddingRows(inputIds);
    await using _held = await this.use(options);
    if (this.#streaming) {
      const { ahead } = this.#streaming;
      return await this.parameters.inTurn(() =>
        this.#stream(scope, rows, batch, attentionMask, { ...this.asBefore(options), ahead })
      );
    }
    const rec = new Recorder(this.device).within(scope);
    const embeds = this.forward(rec, rows, batch, attentionMask);
    rec.submit();
    return embeds;
  }

  async #stream(
    scope: Scope,
    rows: EmbeddingRows,
    batch: number,
    attentionMask: ArrayLike<number> | undefined,
    options: LoadOptions & { ahead: boolean },
  ): Promise<Tensor> {
    using held = this.device.arena.scope();
    const begin = new Recorder(this.device).within(held);
    const { x, bias } = this.#begin(begin, rows, batch, attentionMask);
    begin.submit();
    await streamParts(this.#parts, this.source, (index) => {
      const rec = new Recorder(this.device).within(held);
      this.#blocks[index].forward(rec, x, bias); // in place
      rec.submit();
    }, options);
    const rec = new Recorder(this.device).within(scope);
    const embeds = this.#finalNorm.forward(rec, x);
    rec.submit();
    return embeds;
  }

  /**
   * Reads the embedding rows that a text needs; done before recording, since it waits for the file.
   *
   * @param inputIds [B * L]
   * @throws {ShapeError} when an id is outside the vocabulary.
   */
  embeddingRows(inputIds: ArrayLike<number>): Promise<EmbeddingRows> {
    return readEmbeddingRows(this.source, this.embeddings, inputIds);
  }

  /**
   * Encodes texts whose embedding rows were read, with all weights loaded; `encode` does both.
   *
   * @param batch B texts of L tokens each.
   * @param attentionMask [B * L], 1 keeps and 0 masks a token.
   * @returns [B, L, C] in the recorder's scope.
   */
  forward(rec: Recorder, { rows, indices }: EmbeddingRows, batch: number, attentionMask?: ArrayLike<number>): Tensor {
    return rec.scoped(() => {
      let { x, bias } = this.#begin(rec, { rows, indices }, batch, attentionMask);
      for (const block of this.#blocks) x = block.forward(rec, x, bias);
      return this.#finalNorm.forward(rec, x);
    });
  }

  /** What goes into the first block, and what all blocks add to their scores. */
  #begin(rec: Recorder, { rows, indices }: EmbeddingRows, batch: number, attentionMask?: ArrayLike<number>) {
    const { dModel, numHeads, relativeAttentionMaxDistance } = this.config;
    const tokens = indices.length / batch;
    if (!Number.isInteger(tokens) || tokens < 1 || (attentionMask && attentionMask.length !== indices.length)) {
      throw new ShapeError(
        `Cannot encode ${indices.length} tokens as ${batch} texts as ids and mask must be [B, L]: ` +
          `${attentionMask?.length ?? "no"} mask values`,
      );
    }
    const table = relativeBiasByDistance(this.#relativeBias, numHeads, tokens, relativeAttentionMaxDistance);
    const relativeBias = rec.upload(table, [numHeads, 2 * tokens - 1]);
    const scores = attentionMask && Float32Array.from(attentionMask, (keep) => keep ? 0 : MASKED);
    const bias = { relativeBias, mask: scores && rec.upload(scores, [batch, tokens]) };
    const ids = rec.upload(indices, [batch, tokens]);
    return { x: embedding(rec, rec.upload(rows, [rows.length / dModel, dModel]), ids), bias };
  }
}
