// Which attention kernel runs: the one place that looks at what a device can do. In: the device, the shape of the heads.
// Out: a kernel, its constants, and how many queries a workgroup covers.

import blocks from "../../shaders/attention_blocks.wgsl" with { type: "text" };
import common from "../../shaders/attention_common.wgsl" with { type: "text" };
import fragments from "../../shaders/attention_fragments.wgsl" with { type: "text" };
import halves from "../../shaders/attention_halves.wgsl" with { type: "text" };
import matrixSource from "../../shaders/attention_matrix.wgsl" with { type: "text" };
import portableSource from "../../shaders/attention.wgsl" with { type: "text" };
import rows from "../../shaders/attention_rows.wgsl" with { type: "text" };
import tileSource from "../../shaders/attention_tile.wgsl" with { type: "text" };
import wideSource from "../../shaders/attention_wide.wgsl" with { type: "text" };
import type { Device, DeviceLimits } from "../gpu/device.ts";
import type { Constants, KernelSource } from "../gpu/kernel.ts";
import type { MatrixShape } from "./matmul_tiles.ts";
import { matrixShape } from "./matmul_variants.ts";
import { type FloatDType, forWeights } from "./weight_kernels.ts";

/** An attention kernel with its tile. */
export interface AttentionVariant {
  name: string;
  /** By how the result is stored. */
  kernels: Partial<Record<FloatDType, KernelSource>>;
  constants: Constants;
  /** Queries that a workgroup covers. */
  queries: number;
  /** Of a kernel that reads halves: halves of a row that it works on, D or more. */
  halves?: { depth: number };
}

/** How the kernel for GPUs without tensor cores shares out its work: rows of 8 lanes, and fours of queries of a lane. */
export interface AttentionTile {
  GY: number;
  FOURS: 1 | 2;
}

const PORTABLE: KernelSource = { name: "attention", source: portableSource, shared: [common] };
const WIDE: KernelSource = { name: "attention_wide", source: wideSource, shared: [common], features: ["subgroups"] };
const TILE: KernelSource = { name: "attention_tile", source: tileSource, shared: [common] };
const MATRIX = forWeights({
  name: "attention_matrix",
  source: matrixSource,
  shared: [halves, fragments, rows, blocks],
  features: ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"],
});

// The order and the numbers are what a GPU measured.
const TILES: readonly AttentionTile[] = [{ GY: 16, FOURS: 1 }];
const SUBGROUPS = 4;

// Choices made so far, since every block asks several times.
const chosen = new WeakMap<Device, Map<number, AttentionVariant>>();

/**
 * The portable kernel, which runs everywhere and is the reference of benches.
 *
 * @param headWidth D, the width of a head.
 */
export function portableAttention(headWidth: number): AttentionVariant {
  const quads = headWidth / 4;
  // Wide heads go over more lanes, so that the sums of one stay within 16 quads.
  const lanes = quads <= 32 ? 8 : 32;
  return {
    name: "portable",
    kernels: { f32: PORTABLE },
    constants: { LANES: lanes, KEYS: 32 / lanes, QUADS: Math.ceil(quads / lanes) },
    queries: 32,
  };
}

/** The kernel for CPUs that pose as GPUs, such as lavapipe: subgroups of 8 lanes, heads of 128 at most. */
export function wideAttention(): AttentionVariant {
  return { name: "wide", kernels: { f32: WIDE }, constants: {}, queries: 16 };
}

/** The kernel for GPUs without tensor cores: heads of 128 at most. */
export function tileAttention(headWidth: number, tile: AttentionTile): AttentionVariant {
  const constants = { ...tile, QUADS: headWidth / 4 };
  return { name: "tile", kernels: { f32: TILE }, constants, queries: tile.GY * tile.FOURS * 4 };
}

/**
 * The kernel for tensor cores: q, k, v and the weights are halves, sums are f32.
 *
 * @param subgroups Of a workgroup; each owns as many queries as two matrices have rows.
 */
export function matrixAttention(headWidth: number, subgroups: number, shape: MatrixShape): AttentionVariant {
  const step = Math.max(shape.MATRIX_N, shape.MATRIX_K);
  const depth = Math.ceil(headWidth / step) * step;
  return {
    name: "matrix",
    kernels: MATRIX,
    constants: { ...shape, SUBGROUPS: subgroups, DEPTH: depth },
    queries: subgroups * 2 * shape.MATRIX_M,
    halves: { depth },
  };
}

/** Whether a device has room for a tile, as attention_tile.wgsl lays it out. */
function tileFits({ GY, FOURS }: AttentionTile, headWidth: number, limits: Readonly<DeviceLimits>): boolean {
  const quads = 32 * (headWidth / 4 | 1) + (32 + 8) * GY * FOURS;
  return 8 * GY <= limits.maxComputeInvocationsPerWorkgroup && quads * 16 <= limits.maxComputeWorkgroupStorageSize;
}

/** Whether subgroup matrices are such as attention_matrix.wgsl reckons with, and a device has room for what it lays out. */
function matrixFits(headWidth: number, shape: MatrixShape, limits: Readonly<DeviceLimits>): boolean {
  const { MATRIX_M, MATRIX_N, MATRIX_K, SUBGROUP_SIZE } = shape;
  const rows = 2 * MATRIX_M, block = 2 * MATRIX_N;
  const { depth } = matrixAttention(headWidth, SUBGROUPS, shape).halves!;
  const bytes = SUBGROUPS * rows * (block / 4 + 1) * 16 + 4 * block * (depth / 8 + 1) * 16;
  const others = SUBGROUPS * rows * 4 + 2 * block * 4 + 4;
  const turns = Math.ceil(block * depth / 8 / (SUBGROUPS * SUBGROUP_SIZE));
  return [8, 16].includes(MATRIX_N) && MATRIX_K % 8 === 0 && [MATRIX_K, 2 * MATRIX_K].includes(block) && turns <= 5 &&
    depth < 2 * headWidth && // else heads would be mostly padding
    depth % MATRIX_N === 0 && depth % MATRIX_K === 0 && depth <= 9 * Math.min(MATRIX_N, MATRIX_K) &&
    rows <= 2 * SUBGROUP_SIZE && SUBGROUPS * SUBGROUP_SIZE <= limits.maxComputeInvocationsPerWorkgroup &&
    bytes + others <= limits.maxComputeWorkgroupStorageSize;
}

/**
 * The fastest kernel for a device.
 *
 * @param headWidth D, the width of a head.
 * @param halves Whether q, k, v and the weights may be rounded to halves.
 */
export function attentionVariant(device: Device, headWidth: number, halves = false): AttentionVariant {
  let known = chosen.get(device);
  if (!known) chosen.set(device, known = new Map());
  const key = 2 * headWidth + (halves ? 1 : 0);
  let variant = known.get(key);
  if (!variant) known.set(key, variant = choose(device, headWidth, halves));
  return variant;
}

function choose(device: Device, headWidth: number, halves: boolean): AttentionVariant {
  if (device.software) {
    return device.subgroupSize === 8 && headWidth <= 128 ? wideAttention() : portableAttention(headWidth);
  }
  const shape = halves ? matrixShape(device) : undefined;
  if (shape && matrixFits(headWidth, shape, device.limits)) return matrixAttention(headWidth, SUBGROUPS, shape);
  const tile = TILES.find((tile) => headWidth <= 128 && tileFits(tile, headWidth, device.limits));
  return tile ? tileAttention(headWidth, tile) : portableAttention(headWidth);
}

/**
 * Whether attention takes heads of halves.
 *
 * @param options `queries` matter only where queries are halves: those of a last workgroup must all be there, since a kernel reads
 * them together.
 */
export function attentionTakesHalves(
  device: Device,
  { headWidth, halves, queries = 0, variant }: {
    headWidth: number;
    halves?: boolean;
    queries?: number;
    variant?: AttentionVariant;
  },
): boolean {
  const kernel = variant ?? attentionVariant(device, headWidth, halves);
  return kernel.halves !== undefined && headWidth % 8 === 0 && queries % kernel.queries === 0;
}

/** What attention by rows takes, as far as it is known before. */
export interface RowsTraits {
  /** Whether there is one head a sample, in rows without gaps, and no relative bias. */
  dense: boolean;
  headWidth: number;
  keys: number;
  halves?: boolean;
}

/** Whether attention should go by rows, as matmuls; see `attentionByRows`. */
export function prefersRows(device: Device, { dense, headWidth, keys, halves = false }: RowsTraits): boolean {
  // Samples then start on whole 256 bytes, as bindings must.
  const fits = dense && headWidth > 128 && headWidth % 64 === 0 && (halves || keys % 4 === 0);
  return fits && (device.subgroupSize === 8 || !device.software);
}
