// The names that ggml's programs give the tensors of a T5 encoder (REFERENCE F13). In: a checkpoint in those names. Out: the
// same tensors under the names of transformers.
import { WeightsError } from "../errors.ts";
import { type MappedTensor, MappedWeights, wholeTensor } from "./mapped_weights.ts";
import type { WeightSource } from "./weights.ts";

const PARTS: Record<string, string> = {
  attn_q: "layer.0.SelfAttention.q",
  attn_k: "layer.0.SelfAttention.k",
  attn_v: "layer.0.SelfAttention.v",
  attn_o: "layer.0.SelfAttention.o",
  attn_rel_b: "layer.0.SelfAttention.relative_attention_bias",
  attn_norm: "layer.0.layer_norm",
  ffn_gate: "layer.1.DenseReluDense.wi_0",
  ffn_up: "layer.1.DenseReluDense.wi_1",
  ffn_down: "layer.1.DenseReluDense.wo",
  ffn_norm: "layer.1.layer_norm",
};

/** The name in transformers; undefined for one that no T5 encoder of ggml has. */
function transformersName(name: string): string | undefined {
  if (name === "token_embd.weight") return "shared.weight";
  if (name === "enc.output_norm.weight") return "encoder.final_layer_norm.weight";
  const [, block, part] = /^enc\.blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? [];
  if (part === undefined || !Object.hasOwn(PARTS, part)) return undefined;
  return `encoder.block.${block}.${PARTS[part]}.weight`;
}

/**
 * Sees a T5 encoder of a GGUF file under the names of transformers. Reading is by range, as in the source. A decoder (`dec.*`)
 * is left out, and so are the biases that some files repeat in every block; other names stay as they are.
 *
 * @returns A source that is disposed with the given one.
 * @throws {WeightsError} when two tensors would have one name.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * import { mapT5GgufNames } from "./t5_gguf_names.ts";
 * const norm = { dtype: "F32" as const, shape: [1], data: Float32Array.of(1) };
 * const file = encodeSafetensors({ "enc.output_norm.weight": norm });
 * using weights = mapT5GgufNames(await openSafetensors(bytesOf("example", file)));
 * console.assert(weights.has("encoder.final_layer_norm.weight"));
 * ```
 */
export function mapT5GgufNames(source: WeightSource): WeightSource {
  const tensors = new Map<string, MappedTensor>();
  for (const original of source.names()) {
    if (original.startsWith("dec.") || /^enc\.blk\.0*[1-9]\d*\.attn_rel_b\.weight$/.test(original)) continue;
    const name = transformersName(original) ?? original;
    if (tensors.has(name)) {
      throw new WeightsError(`Cannot name ${original} of ${source.name} as ${name}: another tensor has that name`);
    }
    tensors.set(name, wholeTensor(source, original));
  }
  return new MappedWeights(source, tensors);
}

/**
 * Sees a T5 encoder under the names that ggml's programs read. Of two tied embedding tables one is taken.
 *
 * @returns A source that is disposed with the given one.
 * @throws {WeightsError} when a name is none of a T5 encoder's.
 */
export function asT5Gguf(source: WeightSource): WeightSource {
  const parts = new Map(Object.entries(PARTS).map(([ggml, transformers]) => [transformers, ggml]));
  const ggmlName = (name: string) => {
    if (name === "shared.weight" || name === "encoder.embed_tokens.weight") return "token_embd.weight";
    if (name === "encoder.final_layer_norm.weight") return "enc.output_norm.weight";
    const [, block, part] = /^encoder\.block\.(\d+)\.(.*)\.weight$/.exec(name) ?? [];
    const ggml = parts.get(part);
    if (ggml !== undefined) return `enc.blk.${block}.${ggml}.weight`;
    throw new WeightsError(
      `Cannot name ${name.slice(0, 120)} of ${source.name} as ggml does: a T5 encoder has no such tensor`,
    );
  };
  return new MappedWeights(source, new Map(source.names().map((name) => [ggmlName(name), wholeTensor(source, name)])));
}
