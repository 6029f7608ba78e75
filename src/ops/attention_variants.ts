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
import wideRows from "../../shaders/wide_rows.wgsl" with { type: "text" };
import type { Device } from "../gpu/device.ts";
import type { Constants, KernelSource } from "../gpu/kernel.ts";
import {
  attentionDepth,
  type AttentionSubgroups,
  attentionSubgroupsFit,
  type AttentionTile,
  attentionTileFits,
} from "./attention_tiles.ts";
import type { MatrixShape } from "./matmul_tiles.ts";
import { matrixShape } from "./matmul_variants.ts";
import { chooseTile } from "./tile_table.ts";
import { TileChoices, tilesOf } from "./tile_tables.ts";
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

const PORTABLE: KernelSource = { name: "attention", source: portableSource, shared: [common] };
const WIDE: KernelSource = {
  name: "attention_wide",
  source: wideSource,
  shared: [common, wideRows],
  features: ["subgroups"],
};
const TILE: KernelSource = { name: "attention_tile", source: tileSource, shared: [common] };
const MATRIX = forWeights({
  name: "attention_matrix",
  source: matrixSource,
  shared: [halves, fragments, rows, blocks],
  features: ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"],
});

// Choices made so far, since every block asks several times.
const chosen = new TileChoices<AttentionVariant>();
const key = new Int32Array(3);

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

/**
 * The kernel for CPUs that pose as GPUs, such as lavapipe: subgroups of 8 lanes.
 *
 * @param headWidth D, 128 at most.
 */
export function wideAttention(headWidth: number): AttentionVariant {
  // One form for the transformer's heads and the text encoder's, since each takes a second or more to compile.
  return { name: "wide", kernels: { f32: WIDE }, constants: { PARTS: headWidth <= 96 ? 3 : 4 }, queries: 16 };
}

const tileQueries = ({ GY, FOURS }: AttentionTile) => GY * FOURS * 4;
const subgroupQueries = ({ SUBGROUPS }: AttentionSubgroups, { MATRIX_M }: MatrixShape) => SUBGROUPS * 2 * MATRIX_M;

/** The kernel for GPUs without tensor cores: heads of 128 at most. */
export function tileAttention(headWidth: number, tile: AttentionTile): AttentionVariant {
  const constants = { ...tile, QUADS: headWidth / 4 };
  return { name: "tile", kernels: { f32: TILE }, constants, queries: tileQueries(tile) };
}

/** The kernel for tensor cores: q, k, v and the weights are halves, sums are f32. */
export function matrixAttention(headWidth: number, tile: AttentionSubgroups, shape: MatrixShape): AttentionVariant {
  const depth = attentionDepth(headWidth, shape);
  return {
    name: "matrix",
    kernels: MATRIX,
    constants: { ...shape, ...tile, DEPTH: depth },
    queries: subgroupQueries(tile, shape),
    halves: { depth },
  };
}

/** What decides between kernels. */
export interface AttentionTraits {
  /** D, the width of a head. */
  headWidth: number;
  /** N, of a sample; a picture of many when not given. */
  queries?: number;
  /** Whether q, k, v and the weights may be rounded to halves. */
  halves?: boolean;
}

/** The fastest kernel for a device. Whether it takes halves does not depend on the queries. */
export function attentionVariant(
  device: Device,
  { headWidth, queries = 4096, halves = false }: AttentionTraits,
): AttentionVariant {
  const known = chosen.on(device);
  key[0] = headWidth;
  key[1] = queries;
  key[2] = halves ? 1 : 0;
  let variant = known.get(key, key.length);
  if (!variant) {
    variant = choose(device, headWidth, queries, halves);
    known.add(key, key.length, variant);
  }
  return variant;
}

function choose(device: Device, headWidth: number, queries: number, halves: boolean): AttentionVariant {
  if (device.software) {
    return device.subgroupSize === 8 && headWidth <= 128 ? wideAttention(headWidth) : portableAttention(headWidth);
  }
  const tables = tilesOf(device).attention, { limits } = device;
  const asked = { rows: queries, columns: headWidth };
  const shape = halves ? matrixShape(device) : undefined;
  if (shape) {
    const tile = chooseTile(tables.matrix, asked, (tile) => {
      const fits = attentionSubgroupsFit(tile, headWidth, shape, limits);
      return fits ? { rows: subgroupQueries(tile, shape), columns: headWidth } : undefined;
    });
    if (tile) return matrixAttention(headWidth, tile, shape);
  }
  const tile = chooseTile(tables.tile, asked, (tile) => {
    return attentionTileFits(tile, headWidth, limits) ? { rows: tileQueries(tile), columns: headWidth } : undefined;
  });
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
  const kernel = variant ?? attentionVariant(device, { headWidth, queries: queries || undefined, halves });
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
