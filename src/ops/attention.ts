// attention: softmax(scale q k' + bias + mask) v for all heads, without ever storing the scores.
// Keys may come in parts, each in a tensor of its own: what a query finds in each is merged.

import mergeSource from "../../shaders/attention_merge.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attendHalves } from "./attention_halves.ts";
import type { AttentionOptions, Heads, KeysValues } from "./attention_heads.ts";
import { attentionByRows } from "./attention_rows.ts";
import { attentionTakesHalves, attentionVariant, prefersRows } from "./attention_variants.ts";

export type { AttentionOptions, Heads, KeysValues } from "./attention_heads.ts";

const MERGE = { name: "attention_merge", source: mergeSource };

// The bits of `flags` in attention_common.wgsl.
const WITH = { mask: 1, bias: 2 };

/**
 * Mixes values by the softmax of how well keys match queries.
 *
 * @param q The queries' heads, [B, N, H, D] in rows of any stride.
 * @param k The keys' heads, [B, Nk, H, D].
 * @param v The values' heads, [B, Nk, H, D].
 * @returns [B, N, H * D] f32 in the recorder's scope, or f16 with `toHalves`.
 * @throws {ShapeError} when a tensor is too small for its extents, or not on whole quads, or is halves that the kernel does not read.
 */
export function attention(rec: Recorder, q: Heads, k: Heads, v: Heads, options: AttentionOptions): Tensor {
  const { batch, heads, headWidth, queries, keys, mask, firstMasked = 0, relativeBias } = options;
  check(rec.device, q, { k, v, keys }, options);
  // Samples of the mask before and behind these may be those of others.
  const masked = options.firstMasked === undefined ? batch : Math.max(firstMasked + batch, (mask?.size ?? 0) / keys);
  checkAdded("mask", mask, masked * keys);
  checkAdded("relative bias", relativeBias, heads * (queries + keys - 1));
  const dense = !relativeBias && [q, k, v].every(({ stride, offset }) => stride === headWidth && offset === 0);
  const halves = options.halves && !rec.device.software; // a CPU gains little by them
  const byRows = !options.variant && prefersRows(rec.device, { ...options, dense, halves });
  const variant = options.variant ?? attentionVariant(rec.device, options);
  const toHalves = options.toHalves && !byRows && variant.kernels.f16 !== undefined;
  const y = rec.tensor([batch, queries, heads * headWidth], toHalves ? "f16" : "f32");
  if (queries === 0 || batch === 0) return y;
  if (byRows) {
    attentionByRows(rec, q.tensor, k.tensor, v.tensor, y, { ...options, halves });
    return y;
  }
  using _scope = rec.scope();
  const logSums = rec.tensor([batch, queries, heads]);
  // A binding holds only so many bytes: if all samples are too many, they go one by one.
  const limit = rec.device.limits.maxStorageBufferBindingSize;
  const step = [q.tensor, k.tensor, v.tensor, y].every((tensor) => tensor.bytes <= limit) ? batch : 1;
  for (let sample = 0; sample < batch; sample += step) {
    const part = ({ tensor, stride, offset }: Heads, tokens: number) => {
      const start = sample * tokens * stride;
      const view = tensor.view([Math.min(offset + tokens * stride, tensor.size - start)], start);
      return { tensor: step === batch ? tensor : view, stride, offset };
    };
    const result = { y: part(rowsOf(y), queries).tensor, logSums: part(rowsOf(logSums), queries).tensor };
    const sampleOptions = { ...options, variant, batch: step, firstMasked: firstMasked + sample };
    attend(rec, part(q, queries), { k: part(k, keys), v: part(v, keys), keys }, result, sampleOptions);
  }
  return y;
}

/**
 * Attention of one sample over keys that lie in several tensors, without mask or bias.
 *
 * @param q The queries' heads, [N, H, D] in rows of any stride.
 * @param parts All keys and values, in any order.
 * @returns [1, N, H * D] f32 in the recorder's scope.
 * @throws {ShapeError} when a tensor is too small for its extents, or there is no key.
 */
export function attentionOver(
  rec: Recorder,
  q: Heads,
  parts: readonly KeysValues[],
  options: Pick<AttentionOptions, "heads" | "headWidth" | "queries" | "scale" | "halves" | "variant">,
): Tensor {
  const { heads, headWidth, queries } = options;
  if (parts.length === 0) throw new ShapeError("Cannot attend as there must be a key: 0");
  for (const part of parts) check(rec.device, q, part, { ...options, batch: 1 });
  return rec.scoped(() => {
    const made = () => ({
      y: rec.tensor([1, queries, heads * headWidth]),
      logSums: rec.tensor([1, queries, heads]),
    });
    const [all, more] = [made(), parts.length > 1 ? made() : undefined];
    parts.forEach((part, i) => {
      const result = i === 0 ? all : more!;
      attend(rec, q, part, result, { ...options, batch: 1 });
      if (i === 0) return;
      rec.dispatch(rec.device.kernel(MERGE), {
        bindings: [result.y, result.logSums, all.y, all.logSums],
        params: { rows: queries * heads, quads: headWidth / 4 },
        groups: linearGroups(Math.ceil(queries * heads / 64)),
      });
    });
    return all.y;
  });
}

/** One dispatch: all queries over these keys. */
function attend(
  rec: Recorder,
  q: Heads,
  { k, v, keys }: KeysValues,
  result: { y: Tensor; logSums: Tensor },
  options: Omit<AttentionOptions, "keys">,
): void {
  const { batch, heads, headWidth, queries, scale, mask, firstMasked = 0, relativeBias } = options;
  const variant = options.variant ?? attentionVariant(rec.device, options);
  if (variant.halves) {
    attendHalves(rec, q, { k, v, keys }, result, { ...options, variant });
    return;
  }
  rec.dispatch(rec.device.kernel(variant.kernels.f32!, variant.constants), {
    bindings: [q.tensor, k.tensor, v.tensor, mask, relativeBias, result.y, result.logSums],
    params: {
      queries,
      keys,
      heads,
      quads: headWidth / 4,
      q_stride: q.stride / 4,
      q_offset: q.offset / 4,
      k_stride: k.stride / 4,
      k_offset: k.offset / 4,
      v_stride: v.stride / 4,
      v_offset: v.offset / 4,
      scale,
      flags: (mask ? WITH.mask : 0) | (relativeBias ? WITH.bias : 0),
      first_sample: firstMasked,
    },
    groups: [Math.ceil(queries / variant.queries), heads * batch],
  });
}

/** The rows of a tensor as heads of that width, one behind the other. */
function rowsOf(tensor: Tensor): Heads {
  return { tensor, stride: tensor.dim(-1), offset: 0 };
}

function check(device: Device, q: Heads, { k, v, keys }: KeysValues, options: Omit<AttentionOptions, "keys">): void {
  const { batch, heads, headWidth, queries } = options;
  if (headWidth < 4 || headWidth % 4 !== 0) {
    throw new ShapeError(`Cannot attend with heads of ${headWidth} floats as their width must be a multiple of 4`);
  }
  if (keys < 1) throw new ShapeError(`Cannot attend as there must be a key: ${keys}`);
  checkHeads("queries", q, batch * queries, heads * headWidth);
  checkHeads("keys", k, batch * keys, heads * headWidth);
  checkHeads("values", v, batch * keys, heads * headWidth);
  for (const [{ tensor }, together] of [[q, queries], [k, 0], [v, 0]] as const) {
    if (tensor.dtype === "f16" && !attentionTakesHalves(device, { ...options, queries: together })) {
      throw new ShapeError(`Cannot attend to ${tensor} as the kernel must read halves of so many queries: it does not`);
    }
  }
}

function checkHeads(what: string, { tensor, stride, offset }: Heads, tokens: number, width: number): void {
  if (tensor.dtype !== "f32" && tensor.dtype !== "f16") {
    throw new ShapeError(`Cannot read ${what} from ${tensor} as they must be floats`);
  }
  const quantum = tensor.dtype === "f32" ? 4 : 8;
  if (stride % quantum !== 0 || offset % quantum !== 0) {
    throw new ShapeError(
      `Cannot read ${what} from ${tensor} as stride and offset must be multiples of ${quantum}: ${stride} and ${offset}`,
    );
  }
  const end = offset + (tokens - 1) * stride + width;
  if (stride < width || offset < 0 || (tokens > 0 && end > tensor.size)) {
    throw new ShapeError(
      `Cannot read ${what} from ${tensor} as ${tokens} rows of ${width} floats must lie in it: stride ${stride}, offset ${offset}`,
    );
  }
}

function checkAdded(what: string, tensor: Tensor | undefined, size: number): void {
  if (tensor && (tensor.dtype !== "f32" || tensor.size !== size)) {
    throw new ShapeError(`Cannot add ${what} ${tensor} to scores as it must hold ${size} floats: ${tensor.size}`);
  }
}
