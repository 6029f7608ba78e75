// The names of the original PixArt repository's checkpoints and those of diffusers (REFERENCE §2.2, §2.3). In: a checkpoint in
// either's names. Out: the same tensors under the other's, with fused projections seen as their parts, or the parts as the whole.

import { WeightsError } from "../errors.ts";
import { joinedTensors, type MappedTensor, MappedWeights, partOfTensor, wholeTensor } from "./mapped_weights.ts";
import type { WeightSource } from "./weights.ts";

/** A module or tensor of the original and what diffusers calls it, or its equal parts; `#` is a block's number. */
const NAMES: readonly [original: string, diffusers: readonly string[]][] = [
  ["x_embedder.proj.", ["pos_embed.proj."]],
  ["y_embedder.y_proj.fc1.", ["caption_projection.linear_1."]],
  ["y_embedder.y_proj.fc2.", ["caption_projection.linear_2."]],
  ["t_embedder.mlp.0.", ["adaln_single.emb.timestep_embedder.linear_1."]],
  ["t_embedder.mlp.2.", ["adaln_single.emb.timestep_embedder.linear_2."]],
  ["csize_embedder.mlp.0.", ["adaln_single.emb.resolution_embedder.linear_1."]],
  ["csize_embedder.mlp.2.", ["adaln_single.emb.resolution_embedder.linear_2."]],
  ["ar_embedder.mlp.0.", ["adaln_single.emb.aspect_ratio_embedder.linear_1."]],
  ["ar_embedder.mlp.2.", ["adaln_single.emb.aspect_ratio_embedder.linear_2."]],
  ["t_block.1.", ["adaln_single.linear."]],
  ["final_layer.linear.", ["proj_out."]],
  ["final_layer.scale_shift_table", ["scale_shift_table"]],
  ["blocks.#.scale_shift_table", ["transformer_blocks.#.scale_shift_table"]],
  ["blocks.#.attn.qkv.", ["q", "k", "v"].map((part) => `transformer_blocks.#.attn1.to_${part}.`)],
  ["blocks.#.attn.proj.", ["transformer_blocks.#.attn1.to_out.0."]],
  // diffusers' network has none of the next four; the names are this library's, in its style.
  ...["q_norm", "k_norm", "sr", "norm"].map((part): [string, string[]] => {
    return [`blocks.#.attn.${part}.`, [`transformer_blocks.#.attn1.${part}.`]];
  }),
  ["blocks.#.mlp.fc1.", ["transformer_blocks.#.ff.net.0.proj."]],
  ["blocks.#.mlp.fc2.", ["transformer_blocks.#.ff.net.2."]],
  ["blocks.#.cross_attn.q_linear.", ["transformer_blocks.#.attn2.to_q."]],
  ["blocks.#.cross_attn.kv_linear.", ["k", "v"].map((part) => `transformer_blocks.#.attn2.to_${part}.`)],
  ["blocks.#.cross_attn.proj.", ["transformer_blocks.#.attn2.to_out.0."]],
];

/** Buffers that the network does not need: the null caption, and the position embedding of the training grid. */
const BUFFERS = ["y_embedder.y_embedding", "pos_embed"];
const DIFFUSERS_BUFFER = "pos_embed.pos_embed";

/** A name as the table has it: the block's number, and what follows a module's name, apart. */
interface TableName {
  key: string;
  block: string;
  rest: string;
}

function tableName(name: string): TableName {
  const [, before, block, after] = /^(transformer_blocks\.|blocks\.)(\d+)(\..*)$/.exec(name) ?? [];
  const general = block === undefined ? name : `${before}#${after}`;
  const [, module, rest] = /^(.*\.)(weight|bias)$/.exec(general) ?? [undefined, general, ""];
  return { key: module, block: block ?? "", rest };
}

const spelled = (key: string, { block, rest }: TableName) => key.replace("#", block) + rest;

const BY_ORIGINAL = new Map(NAMES);
const BY_DIFFUSERS = new Map(NAMES.flatMap(([original, names]) => names.map((name) => [name, { original, names }])));

/** What other tools put in front of every name. */
const PREFIXES = ["model.diffusion_model.", "base_model.", "module.", "model."];

/** The diffusers names of an original name; none for a buffer, undefined for a name that is not the original's. */
export function diffusersNames(original: string): string[] | undefined {
  if (BUFFERS.includes(original)) return [];
  const name = tableName(original);
  return BY_ORIGINAL.get(name.key)?.map((key) => spelled(key, name));
}

/** The original's name of a diffusers name, and the diffusers names of all its parts; undefined where there is none. */
function originalName(diffusers: string): { original: string; parts: string[] } | undefined {
  const name = tableName(diffusers);
  const found = BY_DIFFUSERS.get(name.key);
  if (!found) return undefined;
  return { original: spelled(found.original, name), parts: found.names.map((key) => spelled(key, name)) };
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
  const tensors = new Map<string, MappedTensor>();
  const prefix = prefixOf(source.names());
  for (const name of source.names()) {
    const bare = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const names = diffusersNames(bare) ?? [bare];
    names.forEach((diffusers, part) => tensors.set(diffusers, partOfTensor(source, name, part, names.length)));
  }
  return new MappedWeights(source, tensors);
}

/**
 * Sees a diffusers checkpoint as an original one: queries, keys and values of an attention become one tensor. The original's two
 * buffers, which its own loader throws away, are not made up.
 *
 * @returns A source that is disposed with the given one.
 * @throws {WeightsError} when a name is not diffusers', or the parts of a fused projection are not all there and alike.
 */
export function asOriginal(source: WeightSource): WeightSource {
  const tensors = new Map<string, MappedTensor>();
  for (const name of source.names()) {
    if (name === DIFFUSERS_BUFFER) continue;
    const found = originalName(name);
    if (!found) {
      throw new WeightsError(
        `Cannot name ${name.slice(0, 120)} of ${source.name} as the original does: the network has no such tensor`,
      );
    }
    const { original, parts } = found;
    const missing = parts.find((part) => !source.has(part));
    if (missing) {
      throw new WeightsError(`Cannot join ${original} of ${source.name} as all its parts must be there: no ${missing}`);
    }
    if (tensors.has(original)) continue;
    tensors.set(original, parts.length > 1 ? joinedTensors(source, parts) : wholeTensor(source, name));
  }
  return new MappedWeights(source, tensors);
}
