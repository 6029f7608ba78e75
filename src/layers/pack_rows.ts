// Rows of a checkpoint's weight, whatever their dtype, into a weight on the GPU, however it is kept. In: bytes. Out: work that is
// submitted; nothing is decoded on the host.

import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { isQuantType } from "../io/gguf_blocks.ts";
import type { QuantType, StoredDType } from "../io/weights.ts";
import { BlockWeight, FORMAT_OF } from "../ops/block_weight.ts";
import type { Weight } from "../ops/matmul.ts";
import { packBlocks } from "../ops/pack_blocks.ts";
import { packQuantized } from "../ops/pack_quantized.ts";
import { type FiniteCheck, packWeight, type SourceDType } from "../ops/pack_weight.ts";
import { widen } from "../ops/widen.ts";
import { widenBlocks } from "../ops/widen_blocks.ts";

const FLOATS: Partial<Record<StoredDType, SourceDType>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/** Where rows go. */
export interface RowsTarget {
  rows: number;
  inFeatures: number;
  /** Kernel height times width of a convolution; 1 for a linear layer. */
  taps: number;
  out: Weight;
  /** The column of `out` that the first row becomes. */
  columnOffset: number;
  check: FiniteCheck;
}

/** Holds a tensor until the work is submitted, then frees it. */
export type Keep = (tensor: Tensor) => Tensor;

/** Changes rows [R, inFeatures * taps] f32 in place. */
export type RowsEdit = (rec: Recorder, rows: Tensor, keep: Keep) => void;

/** Whether weights can be made of a dtype. */
export function isWeightDType(dtype: StoredDType): boolean {
  return isQuantType(dtype) || FLOATS[dtype] !== undefined;
}

/** Whether rows of a dtype go to a weight by way of f32: blocks that it does not take as they are. */
export function goesByFloats(dtype: StoredDType, out: Weight): boolean {
  return isQuantType(dtype) && !takesBlocks(out, dtype);
}

function takesBlocks(out: Weight, kind: QuantType): out is BlockWeight {
  return out instanceof BlockWeight && out.format === FORMAT_OF[kind];
}

/**
 * Packs rows, with a change made to them in f32 if there is one.
 *
 * @param bytes Whole rows of `dtype`.
 */
export function packRows(
  device: Device,
  bytes: Uint8Array<ArrayBuffer>,
  dtype: StoredDType,
  target: RowsTarget,
  edit?: RowsEdit,
): void {
  const kept: Tensor[] = [];
  const keep = (tensor: Tensor) => {
    kept.push(tensor);
    return tensor;
  };
  try {
    const rec = new Recorder(device);
    const raw = keep(uploadWords(device, bytes));
    if (!edit && isQuantType(dtype) && takesBlocks(target.out, dtype)) {
      packBlocks(rec, raw, { ...target, kind: dtype, out: target.out });
    } else if (edit || isQuantType(dtype)) {
      const rows = widened(rec, raw, dtype, target, keep);
      edit?.(rec, rows, keep);
      packFloats(rec, new Tensor(rows.storage, [rows.size], "u32"), "f32", target);
    } else packFloats(rec, raw, FLOATS[dtype]!, target);
    rec.submit();
  } finally {
    for (const tensor of kept) tensor.dispose();
  }
}

/** Bytes of a checkpoint as words on the GPU; the queue takes whole ones. */
function uploadWords(device: Device, bytes: Uint8Array<ArrayBuffer>): Tensor {
  const words = device.tensor([Math.ceil(bytes.length / 4)], "u32", "checkpoint bytes");
  const whole = bytes.length % 4 === 0 ? bytes : new Uint8Array(words.bytes);
  if (whole !== bytes) whole.set(bytes);
  device.write(words, whole);
  return words;
}

function packFloats(rec: Recorder, raw: Tensor, sourceDType: SourceDType, { out, ...target }: RowsTarget): void {
  if (out instanceof BlockWeight) packQuantized(rec, raw, { ...target, sourceDType, out });
  else packWeight(rec, raw, { ...target, sourceDType, out });
}

function widened(rec: Recorder, raw: Tensor, dtype: StoredDType, target: RowsTarget, keep: Keep): Tensor {
  const shape = [target.rows, target.inFeatures * target.taps];
  if (dtype === "F32") return new Tensor(raw.storage, shape, "f32");
  const wide = keep(rec.device.tensor(shape, "f32", "checkpoint rows"));
  return isQuantType(dtype)
    ? widenBlocks(rec, raw, dtype, wide)
    : widen(rec, raw, dtype === "F16" ? "f16" : "bf16", wide);
}
