// The way out of the transformer: tokens are normalised, modulated by the time, and become patches. In: tokens, in the parts that they
// lie in. Out: patches [B, N, p² outChannels].

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Linear } from "../layers/linear.ts";
import type { ParameterSet, Vector } from "../layers/parameters.ts";
import { layerNorm, type TableRows } from "../ops/layer_norm.ts";
import type { TransformerConfig } from "./config.ts";
import { modulate } from "./modulation.ts";
import { modulationOf, rowsAt, type TokenPart } from "./token_parts.ts";

/** Tokens become patches. */
export class FinalLayer {
  readonly #table: Vector;
  readonly #out: Linear;

  /** @param width Channels C of a token. */
  constructor(
    parameters: ParameterSet,
    private readonly config: TransformerConfig,
    private readonly width: number,
  ) {
    this.#table = parameters.vector("scale_shift_table", [2, width]);
    this.#out = new Linear(parameters, "proj_out", width, config.outChannels * config.patchSize ** 2);
  }

  /**
   * A row of shifts and one of scales.
   *
   * @param embedded [R, C] times.
   * @param row The time that all samples have; without it, sample b has time b.
   */
  modulation(rec: Recorder, embedded: Tensor, row?: number): TableRows[] {
    const rowsOf = modulate(rec, embedded, this.#table.tensor, this.width, row);
    return [...rowsOf(0), ...rowsOf(1)];
  }

  /**
   * @param tokens All of the batch.
   * @param rows A row of shifts and one of scales for each sample.
   * @returns [B, N, p² outChannels] in the recorder's scope.
   */
  forward(rec: Recorder, tokens: readonly TokenPart[], rows: readonly TableRows[]): Tensor {
    if (tokens.length === 1) return this.#forward(rec, tokens[0], rows);
    const last = tokens.at(-1)!;
    const patches = rec.tensor([last.sample + 1, last.first + last.count, this.#out.outFeatures]);
    for (const part of tokens) {
      using _scope = rec.scope();
      rec.copy(this.#forward(rec, part, rows), rowsAt(patches, part));
    }
    return patches;
  }

  #forward(rec: Recorder, part: TokenPart, rows: readonly TableRows[]): Tensor {
    return rec.scoped(() => {
      const [shift, scale] = modulationOf(part, rows);
      return this.#out.forward(rec, layerNorm(rec, part.x, { eps: this.config.normEps, shift, scale }));
    });
  }
}
