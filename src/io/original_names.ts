// The names of the original PixArt repository's checkpoints and those of diffusers (REFERENCE §2.2, §2.3). In: a checkpoint in the
// original's names. Out: the same tensors under diffusers' names, with fused projections seen as their parts.

import { WeightsError } from "../errors.ts";
import type { TensorInfo, WeightSource } from "./weights.ts";

/** A tensor of the original, or one of its equal parts along the first axis. */
interface Place {
  name: string;
  part: number;
  parts: number;
}

const WHOLE: readonly [original: RegExp, diffusers: string][] = [
  [/^x_embedder\.proj\./, "pos_embed.proj."],
  [/^y_embedder\.y_proj\.fc1\./, "caption_projection.linear_1."],
  [/^y_embedder\.y_proj\.fc2\./, "caption_projection.linear_2."],
  [/^t_embedder\.mlp\.0\./, "adaln_single.emb.timestep_embedder.linear_1."],
  [/^t_embedder\.mlp\.2\./, "adaln_single.emb.timestep_embedder.linear_2."],
  [/^csize_embedder\.mlp\.0\./, "adaln_single.emb.resolution_embedder.linear_1."],
  [/^csize_embedder\.mlp\.2\./, "adaln_single.emb.resolution_embedder.linear_2."],
  [/^ar_embedder\.mlp\.0\./, "adaln_single.emb.aspect_ratio_embedder.linear_1."],
  [/^ar_embedder\.mlp\.2\./, "adaln_single.emb.aspect_ratio_embedder.linear_2."],
  [/^t_block\.1\./, "adaln_single.linear."],
  [/^final_layer\.linear\./, "proj_out."],
  [/^final_layer\.scale_shift_table$/, "scale_shift_table"],
  [/^blocks\.(\d+)\.scale_shift_table$/, "transformer_blocks.$1.scale_shift_table"],
  [/^blocks\.(\d+)\.attn\.proj\./, "transformer_blocks.$1.attn1.to_out.0."],
  // diffusers' network has neither of the next two; the names are this library's, in its style.
  [/^blocks\.(\d+)\.attn\.(q_norm|k_norm)\./, "transformer_blocks.$1.attn1.$2."],
  [/^blocks\.(\d+)\.attn\.(sr|norm)\./, "transformer_blocks.$1.attn1.$2."],
  [/^blocks\.(\d+)\.mlp\.fc1\./, "transformer_blocks.$1.ff.net.0.proj."],
  [/^blocks\.(\d+)\.mlp\.fc2\./, "transformer_blocks.$1.ff.net.2."],
  [/^blocks\.(\d+)\.cross_attn\.q_linear\./, "transformer_blocks.$1.attn2.to_q."],
  [/^blocks\.(\d+)\.cross_attn\.proj\./, "transformer_blocks.$1.attn2.to_out.0."],
];

const FUSED: readonly [original: RegExp, diffusers: readonly string[]][] = [
  [/^blocks\.(\d+)\.attn\.qkv\./, ["q", "k", "v"].map((part) => `transformer_blocks.$1.attn1.to_${part}.`)],
  [/^blocks\.(\d+)\.cross_attn\.kv_linear\./, ["k", "v"].map((part) => `transformer_blocks.$1.attn2.to_${part}.`)],
];

/** Buffers that the network does not need: the null caption, and the position embedding of the training grid. */
const BUFFERS = ["y_embedder.y_embedding", "pos_embed"];

/** What other tools put in front of every name. */
const PREFIXES = ["model.diffusion_model.", "base_model.", "module.", "model."];

/** The diffusers names of an original name; none for a buffer, undefined for a name that is not the original's. */
export function diffusersNames(original: string): string[] | undefined {
  if (BUFFERS.includes(original)) return [];
  for (const [pattern, name] of WHOLE) if (pattern.test(original)) return [original.replace(pattern, name)];
  for (const [pattern, names] of FUSED) {
    if (pattern.test(original)) return names.map((name) => original.replace(pattern, name));
  }
  return undefined;
}

function prefixOf(names: readonly string[]): string {
  return PREFIXES.find((prefix) => names.includes(`${prefix}x_embedder.proj.weight`)) ?? "";
}

/** Whether a checkpoint has the names of the original repository. */
export function isOriginal(source: WeightSource): boolean {
  return source.has(`${prefixOf(source.names())}x_embedder.proj.weight`);
}

/**
 * Sees an original checkpoint as a diffusers one. Reading is by range, as in the source; nothing is copied.
 *
 * @returns A source that is disposed with the given one. Names that it does not know stay as they are, so that loading tells them.
 * @throws {WeightsError} when a fused projection does not cut into equal parts.
 */
export function asDiffusers(source: WeightSource): WeightSource {
  const places = new Map<string, Place>();
  const prefix = prefixOf(source.names());
  for (const name of source.names()) {
    const bare = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const names = diffusersNames(bare) ?? [bare];
    names.forEach((diffusers, part) => places.set(diffusers, { name, part, parts: names.length }));
    const { shape } = source.info(name);
    if (names.length > 1 && shape[0] % names.length !== 0) {
      throw new WeightsError(
        `Cannot split ${name} [${shape.join(", ")}] of ${source.name} as it must hold ${names.length} equal parts`,
      );
    }
  }
  return new RenamedWeights(source, places);
}

class RenamedWeights implements WeightSource {
  readonly name: string;
  readonly metadata: Record<string, string>;

  constructor(private readonly source: WeightSource, private readonly places: ReadonlyMap<string, Place>) {
    this.name = source.name;
    this.metadata = source.metadata;
  }

  names(): string[] {
    return [...this.places.keys()].sort();
  }

  has(name: string): boolean {
    return this.places.has(name);
  }

  info(name: string): TensorInfo {
    const place = this.places.get(name);
    if (!place) throw new WeightsError(`Cannot read ${name} of ${this.name} as it must be there: missing`);
    const info = this.source.info(place.name);
    const [first, ...rest] = info.shape;
    const shape = place.parts > 1 ? [first / place.parts, ...rest] : info.shape;
    return { name, dtype: info.dtype, shape, byteLength: info.byteLength / place.parts };
  }

  read(name: string, start = 0, end?: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const { byteLength } = this.info(name);
    const { name: original, part } = this.places.get(name)!;
    const offset = part * byteLength;
    return this.source.read(original, offset + start, offset + (end ?? byteLength), into);
  }

  [Symbol.dispose](): void {
    this.source[Symbol.dispose]();
  }
}
