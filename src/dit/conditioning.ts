// What conditions the transformer beside the caption: the time of the step, and for PixArt-α 1024 the picture's size and aspect
// ratio. In: a list of times, all steps of a picture at once. Out: their embeddings and adaLN-single's modulation rows.

import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Linear } from "../layers/linear.ts";
import type { ParameterSet } from "../layers/parameters.ts";
import { timestepEmbedding } from "../ops/timestep_embedding.ts";
import type { TransformerConfig } from "./config.ts";

const FREQUENCIES = 256; // the width of a sinusoidal embedding before its MLP (REFERENCE M06)

/** Size conditions of PixArt-α 1024, one entry a row of the embedding (REFERENCE C01). */
export interface MicroConditions {
  /** Height and width in pixels. */
  resolution: readonly (readonly [number, number])[];
  /** Height over width. */
  aspectRatio: readonly number[];
}

/** Embedded times. */
export interface Times {
  /** [R, C] before the modulation's linear layer: what the final layer uses. */
  embedded: Tensor;
  /** [R, 6 C] shared by all blocks, each of which adds its own table. */
  modulation: Tensor;
}

/** A sinusoidal embedding and its MLP. */
class ScalarEmbedder {
  readonly #first: Linear;
  readonly #second: Linear;

  constructor(parameters: ParameterSet, name: string, width: number) {
    this.#first = new Linear(parameters, `${name}.linear_1`, FREQUENCIES, width);
    this.#second = new Linear(parameters, `${name}.linear_2`, width, width);
  }

  /** [R] numbers -> [R, width], or added into columns of `into`. */
  forward(
    rec: Recorder,
    values: readonly number[],
    into?: { addTo: Tensor; outStride: number; outOffset: number },
  ): Tensor {
    return rec.scoped(() => {
      const t = rec.upload(Float32Array.from(values), [values.length]);
      const inner = this.#first.forward(rec, timestepEmbedding(rec, t, FREQUENCIES), { activation: "silu" });
      return this.#second.forward(rec, inner, into);
    });
  }
}

/** adaLN-single: one embedding of the time, one linear layer for the modulation of every block. */
export class TimeConditioning {
  readonly #time: ScalarEmbedder;
  readonly #resolution: ScalarEmbedder | undefined;
  readonly #aspectRatio: ScalarEmbedder | undefined;
  readonly #modulation: Linear;

  constructor(parameters: ParameterSet, private readonly width: number, config: TransformerConfig) {
    this.#time = new ScalarEmbedder(parameters, "adaln_single.emb.timestep_embedder", width);
    if (config.useAdditionalConditions) {
      this.#resolution = new ScalarEmbedder(parameters, "adaln_single.emb.resolution_embedder", width / 3);
      this.#aspectRatio = new ScalarEmbedder(parameters, "adaln_single.emb.aspect_ratio_embedder", width / 3);
    }
    this.#modulation = new Linear(parameters, "adaln_single.linear", width, 6 * width);
  }

  /**
   * Embeds R times.
   *
   * @param timesteps [R] in training steps; may be fractional.
   * @param micro R size conditions, where the model has them.
   * @throws {ShapeError} when the model needs size conditions and there are none, or their counts differ.
   */
  forward(rec: Recorder, timesteps: readonly number[], micro?: MicroConditions): Times {
    const embedded = this.#time.forward(rec, timesteps);
    if (this.#resolution && this.#aspectRatio) {
      const rows = timesteps.length;
      if (micro?.resolution.length !== rows || micro.aspectRatio.length !== rows) {
        throw new ShapeError(
          `Cannot embed ${rows} times as this model also needs ${rows} resolutions and aspect ratios: got ` +
            `${micro?.resolution.length ?? 0} and ${micro?.aspectRatio.length ?? 0}`,
        );
      }
      // Height, width and aspect ratio fill a third of the channels each.
      const third = this.width / 3;
      const into = (part: number) => ({ addTo: embedded, outStride: this.width, outOffset: part * third });
      this.#resolution.forward(rec, micro.resolution.map(([height]) => height), into(0));
      this.#resolution.forward(rec, micro.resolution.map(([, width]) => width), into(1));
      this.#aspectRatio.forward(rec, micro.aspectRatio, into(2));
    }
    return { embedded, modulation: this.#modulation.forward(rec, embedded, { inputActivation: "silu" }) };
  }
}
