// The way into the transformer: latents are cut into patches, each becomes a token, and its place is added. In: latents
// [B, inChannels, h, w]. Out: tokens [B, N, C], in parts where a binding cannot hold them.

import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Linear } from "../layers/linear.ts";
import type { ParameterSet } from "../layers/parameters.ts";
import { addPositions } from "../ops/add_positions.ts";
import { patchify } from "../ops/patchify.ts";
import type { Grid } from "./compressed_attention.ts";
import type { TransformerConfig } from "./config.ts";
import { positionTables } from "./position_embedding.ts";
import { rowsAt, type TokenPart, transformerPlaces } from "./token_parts.ts";

const POSITION_CACHE = 4;

/** What is done to latents on the way in. */
export interface EmbedOptions {
  /** Multiplies the latents. */
  scale?: number;
  /** How many times the batch stands one behind the other. */
  repeat?: number;
}

/** What stands for the places of a grid. */
interface Positions {
  /** [h, C / 2] */
  rows: Tensor;
  /** [w, C / 2] */
  columns: Tensor;
}

/** Patches become tokens. */
export class PatchEmbedding {
  readonly #patch: Linear;
  readonly #positions = new Map<string, Positions>();

  /** @param width Channels C of a token. */
  constructor(
    parameters: ParameterSet,
    private readonly config: TransformerConfig,
    private readonly width: number,
  ) {
    const { inChannels, patchSize } = config;
    // A convolution whose stride is its kernel is a linear layer over patches.
    this.#patch = new Linear(parameters, "pos_embed.proj", inChannels * patchSize ** 2, width, {
      shape: [width, inChannels, patchSize, patchSize],
    });
  }

  /**
   * @param latents [B, inChannels, h, w]
   * @returns [repeat * B, N, C] in the recorder's scope.
   * @throws {ShapeError} when the latents are not this model's, or do not cut into patches.
   */
  forward(rec: Recorder, latents: Tensor, options: EmbedOptions = {}): Tensor {
    const grid = this.#grid(latents), { patchSize } = this.config;
    return rec.replace(patchify(rec, latents, { ...options, patchSize }), (patches) => this.#embed(rec, patches, grid));
  }

  /**
   * The same, cut so that a binding holds the widest rows that the network makes of a part.
   *
   * @returns All tokens in the recorder's scope.
   */
  inParts(rec: Recorder, latents: Tensor, options: EmbedOptions = {}): TokenPart[] {
    const grid = this.#grid(latents);
    const { patchSize } = this.config;
    const extent = [latents.dim(0) * (options.repeat ?? 1), grid.height * grid.width] as const;
    const places = transformerPlaces(rec.device.limits, this.config, extent, grid.width);
    if (places.length === 1) return [{ ...places[0], x: this.forward(rec, latents, options) }];
    const patches = patchify(rec, latents, { ...options, patchSize });
    const parts = places.map((place) => {
      const x = rec.scoped(() => {
        const part = rec.tensor([place.samples, place.count, patches.dim(-1)]);
        rec.copy(rowsAt(patches, place), part); // since a view need not begin where a binding may
        return this.#embed(rec, part, grid, place.first);
      });
      return { ...place, x };
    });
    patches.dispose();
    return parts;
  }

  /** Frees the tables of positions. */
  evict(): void {
    for (const key of [...this.#positions.keys()]) this.#forget(key);
  }

  #grid(latents: Tensor): Grid {
    const { patchSize, inChannels } = this.config;
    const [, channels, height, width] = latents.shape;
    if (channels !== inChannels || height % patchSize !== 0 || width % patchSize !== 0) {
      throw new ShapeError(
        `Cannot embed latents ${latents} as they must be [B, ${inChannels}, h, w] with h and w multiples of ${patchSize}`,
      );
    }
    return { height: height / patchSize, width: width / patchSize };
  }

  #embed(rec: Recorder, patches: Tensor, grid: Grid, first?: number): Tensor {
    const { rows, columns } = this.#position(rec, grid);
    return addPositions(rec, this.#patch.forward(rec, patches), rows, columns, { first });
  }

  #position({ device }: Recorder, { height, width }: Grid): Positions {
    const key = `${height}x${width}`;
    let positions = this.#positions.get(key);
    if (!positions) {
      const { sampleSize, patchSize, interpolationScale } = this.config;
      const base = Math.floor(sampleSize / patchSize);
      const tables = positionTables(height, width, this.width, base, interpolationScale);
      positions = {
        rows: device.upload(tables.rows, [height, this.width / 2], "positions of rows"),
        columns: device.upload(tables.columns, [width, this.width / 2], "positions of columns"),
      };
      const [oldest] = this.#positions.keys();
      if (this.#positions.size >= POSITION_CACHE) this.#forget(oldest);
      this.#positions.set(key, positions);
    }
    return positions;
  }

  #forget(key: string): void {
    const { rows, columns } = this.#positions.get(key)!;
    rows.dispose();
    columns.dispose();
    this.#positions.delete(key);
  }
}
