// T5EncoderModel: token ids become the caption's embedding. In: ids and mask [B, L]. Out: [B, L, C] f32.
// Activations stay f32 whatever the weights, since T5-XXL overflows halves.

import { ShapeError, WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { ModelFilesOptions } from "../io/model_files.ts";
import { floatsOf, readFloats, type WeightSource } from "../io/weights.ts";
import { SelfAttention } from "../layers/attention.ts";
import { GatedFeedForward } from "../layers/feed_forward.ts";
import { type LoadOptions, ParameterSet } from "../layers/parameters.ts";
import { RmsNorm } from "../layers/rms_norm.ts";
import { embedding } from "../ops/embedding.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { openTextEncoder } from "./open_text_encoder.ts";
import type { T5Config } from "./t5_config.ts";
import { relativeBiasByDistance } from "./t5_relative_bias.ts";

const EMBEDDINGS = ["shared.weight", "encoder.embed_tokens.weight"]; // tied: checkpoints have one or both
const RELATIVE_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
/** The lowest f32, which transformers adds to the scores of padding. */
const MASKED = -3.4028234663852886e38;

/** The embedding rows of a text, read from the checkpoint. */
export interface EmbeddingRows {
  /** [U, C] the rows that occur. */
  rows: Float32Array;
  /** [B * L] which of them each token takes. */
  indices: Uint32Array;
}

class T5Block {
  readonly #attentionNorm: RmsNorm;
  readonly #attention: SelfAttention;
  readonly #feedForwardNorm: RmsNorm;
  readonly #feedForward: GatedFeedForward;

  constructor(parameters: ParameterSet, name: string, config: T5Config) {
    const { dModel, dKv, dFf, numHeads, layerNormEpsilon } = config;
    this.#attentionNorm = new RmsNorm(parameters, `${name}.layer.0.layer_norm`, dModel, layerNormEpsilon);
    this.#attention = new SelfAttention(
      parameters,
      `${name}.layer.0.SelfAttention`,
      { width: dModel, heads: numHeads, headWidth: dKv, bias: false, scale: 1 }, // T5 does not scale its scores
      { query: "q", key: "k", value: "v", out: "o" },
    );
    this.#feedForwardNorm = new RmsNorm(parameters, `${name}.layer.1.layer_norm`, dModel, layerNormEpsilon);
    this.#feedForward = new GatedFeedForward(parameters, `${name}.layer.1.DenseReluDense`, dModel, dFf);
  }

  forward(rec: Recorder, x: Tensor, bias: { mask?: Tensor; relativeBias: Tensor }): Tensor {
    return rec.scoped(() => {
      x = this.#attention.forward(rec, this.#attentionNorm.forward(rec, x), bias, { addTo: x });
      return this.#feedForward.forward(rec, this.#feedForwardNorm.forward(rec, x), { addTo: x });
    });
  }
}

/** The encoder of T5 v1.1. */
export class T5EncoderModel implements Disposable {
  readonly #parameters: ParameterSet;
  readonly #blocks: T5Block[];
  readonly #finalNorm: RmsNorm;
  #relativeBias = new Float32Array();

  private constructor(
    readonly device: Device,
    readonly config: T5Config,
    private readonly source: WeightSource,
    private readonly embeddings: string,
    dtype: WeightDType,
  ) {
    const parameters = this.#parameters = new ParameterSet(device, "T5EncoderModel", dtype);
    this.#blocks = Array.from(
      { length: config.numLayers },
      (_, i) => new T5Block(parameters, `encoder.block.${i}`, config),
    );
    this.#finalNorm = new RmsNorm(parameters, "encoder.final_layer_norm", config.dModel, config.layerNormEpsilon);
  }

  /**
   * Builds the network and loads its weights, but for the embedding table, whose rows are read from the file as texts need them.
   *
   * @param source The checkpoint; the model keeps it open and disposes it.
   * @throws {WeightsError} when the checkpoint is not this network's.
   */
  static async fromWeights(
    device: Device,
    config: T5Config,
    source: WeightSource,
    { dtype = "f16", ...load }: LoadOptions & { dtype?: WeightDType } = {},
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
      await model.#parameters.load(source, { ...load, optional: [...EMBEDDINGS, RELATIVE_BIAS] });
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
    { device, dtype, onProgress, signal, ...open }:
      & LoadOptions
      & ModelFilesOptions
      & { device: Device; dtype?: WeightDType },
  ): Promise<T5EncoderModel> {
    const { config, source } = await openTextEncoder(address, { ...open, signal });
    return await T5EncoderModel.fromWeights(device, config, source, { dtype, onProgress, signal });
  }

  /** Frees its weights and closes its checkpoint. */
  dispose(): void {
    this.#parameters.dispose();
    this.source[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Reads the embedding rows that a text needs; done before recording, since it waits for the file.
   *
   * @param inputIds [B * L]
   * @throws {ShapeError} when an id is outside the vocabulary.
   */
  async embeddingRows(inputIds: ArrayLike<number>): Promise<EmbeddingRows> {
    const { dModel } = this.config;
    const [vocabulary] = this.source.info(this.embeddings).shape;
    const unique = [...new Set(Array.from(inputIds))];
    const wrong = unique.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
    if (wrong !== undefined) {
      throw new ShapeError(`Cannot embed token ${wrong} as ids must be below the vocabulary's ${vocabulary}`);
    }
    const { dtype, byteLength } = this.source.info(this.embeddings);
    const rowBytes = byteLength / vocabulary;
    const rows = new Float32Array(unique.length * dModel);
    await Promise.all(unique.map(async (id, i) => {
      const bytes = await this.source.read(this.embeddings, id * rowBytes, (id + 1) * rowBytes);
      rows.set(floatsOf(dtype, bytes), i * dModel);
    }));
    const place = new Map(unique.map((id, i) => [id, i]));
    return { rows, indices: Uint32Array.from(inputIds, (id) => place.get(id)!) };
  }

  /**
   * Encodes texts whose embedding rows were read.
   *
   * @param batch B texts of L tokens each.
   * @param attentionMask [B * L], 1 keeps and 0 masks a token.
   * @returns [B, L, C] in the recorder's scope.
   */
  forward(rec: Recorder, { rows, indices }: EmbeddingRows, batch: number, attentionMask?: ArrayLike<number>): Tensor {
    const { dModel, numHeads, relativeAttentionMaxDistance } = this.config;
    const tokens = indices.length / batch;
    if (!Number.isInteger(tokens) || tokens < 1 || (attentionMask && attentionMask.length !== indices.length)) {
      throw new ShapeError(
        `Cannot encode ${indices.length} tokens as ${batch} texts as ids and mask must be [B, L]: ` +
          `${attentionMask?.length ?? "no"} mask values`,
      );
    }
    return rec.scoped(() => {
      const table = relativeBiasByDistance(this.#relativeBias, numHeads, tokens, relativeAttentionMaxDistance);
      const relativeBias = rec.upload(table, [numHeads, 2 * tokens - 1]);
      const scores = attentionMask && Float32Array.from(attentionMask, (keep) => keep ? 0 : MASKED);
      const bias = { relativeBias, mask: scores && rec.upload(scores, [batch, tokens]) };
      const ids = rec.upload(indices, [batch, tokens]);
      let x = embedding(rec, rec.upload(rows, [rows.length / dModel, dModel]), ids);
      for (const block of this.#blocks) x = block.forward(rec, x, bias);
      return this.#finalNorm.forward(rec, x);
    });
  }
}
