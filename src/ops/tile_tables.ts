// The tables of tiles of all kernels that have a choice. In: the files in tiles/, or what was measured on one device. Out: the tables
// that a device's kernels are chosen by.

import attention from "./tiles/attention.json" with { type: "json" };
import conv2d from "./tiles/conv2d.json" with { type: "json" };
import matmul from "./tiles/matmul.json" with { type: "json" };
import { ConfigError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { WordMap } from "../gpu/word_map.ts";
import { isRecord } from "../io/strict_json.ts";
import { type AttentionSubgroups, type AttentionTile, isAttentionTile } from "./attention_tiles.ts";
import {
  isMatrixTile,
  isWideTile,
  isWorkgroupTile,
  type MatrixTile,
  type WideTile,
  type WorkgroupTile,
} from "./matmul_tiles.ts";
import { onlyTile, type TileTable } from "./tile_table.ts";

/** A table for each kind of kernel, by the op that it is of; kinds have the names of the variants. */
export interface TileTables {
  matmul: {
    matrix: TileTable<MatrixTile>;
    tile: TileTable<WorkgroupTile>;
    "tile-f16": TileTable<WorkgroupTile>;
    wide: TileTable<WideTile>;
  };
  attention: { matrix: TileTable<AttentionSubgroups>; tile: TileTable<AttentionTile> };
  conv2d: { matrix: TileTable<MatrixTile>; wide: TileTable<WideTile> };
}

/** An op whose kernels have tables. */
export type TiledOp = keyof TileTables;

/** Constants of any kernel. */
export type AnyTile = Record<string, number>;

/** What a kind's tiles are made of, and whether its kernel has a form for one. */
interface Kind {
  constants: string[];
  has(tile: AnyTile): boolean;
}

// A law is asked about tiles whose constants are all there.
const kind = <Tile>(constants: (keyof Tile & string)[], has: (tile: Tile) => boolean): Kind => {
  return { constants, has: has as unknown as Kind["has"] };
};
const MATRIX = kind<MatrixTile>(["DOWN", "ACROSS", "SUBGROUPS_M", "SUBGROUPS_N", "TILE_K", "BUFFERS"], isMatrixTile);
const WORKGROUP = kind<WorkgroupTile>(["GROUP_X", "GROUP_Y", "TILE_K"], isWorkgroupTile);
const WIDE = kind<WideTile>(["TILES"], isWideTile);
const KINDS: { [Op in TiledOp]: Record<keyof TileTables[Op], Kind> } = {
  matmul: { matrix: MATRIX, tile: WORKGROUP, "tile-f16": WORKGROUP, wide: WIDE },
  attention: {
    matrix: kind<AttentionSubgroups>(["SUBGROUPS"], () => true),
    tile: kind<AttentionTile>(["GY", "FOURS"], isAttentionTile),
  },
  conv2d: { matrix: MATRIX, wide: WIDE },
};

/** The ops and the kinds of their kernels that have tables. */
export const TILED_KINDS: readonly { op: TiledOp; kind: string }[] = Object.entries(KINDS).flatMap(([op, kinds]) =>
  Object.keys(kinds).map((kind) => ({ op: op as TiledOp, kind }))
);

/** The tables that come with this library. */
export const SHIPPED_TILES: Readonly<TileTables> = { matmul, attention, conv2d };

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
const isIndex = (value: unknown, list: unknown[]) => Number.isSafeInteger(value) && (value as number) in list;
const isText = (value: unknown) => typeof value === "string";
const isRate = (value: unknown) => value === null || (Number.isFinite(value) && (value as number) > 0);

function isCandidate(value: unknown, { constants, has }: Kind): boolean {
  if (!isRecord(value) || !isRecord(value.tile) || !(value.atOnce === undefined || isCount(value.atOnce))) return false;
  const { tile } = value;
  return Object.keys(tile).length === constants.length && constants.every((name) => isCount(tile[name])) &&
    has(tile as AnyTile);
}

const isRun = (value: unknown) =>
  isRecord(value) && [value.device, value.backend, value.date, value.commit ?? ""].every(isText);

function isClass(value: unknown, candidates: unknown[], runs: unknown[]): boolean {
  if (!isRecord(value)) return false;
  const { rows, columns, depth, weights, best, rates, run } = value;
  return isCount(rows) && isCount(columns) && (depth === undefined || isCount(depth)) &&
    (weights === undefined || isText(weights)) && isIndex(run, runs) && isIndex(best, candidates) &&
    Array.isArray(rates) && rates.length <= candidates.length && rates.every(isRate) &&
    typeof rates[best as number] === "number";
}

function checkTable(value: unknown, kind: Kind, where: string): void {
  const fail = (rule: string, state: unknown): never => {
    throw new ConfigError(`Cannot use the tiles of ${where} as ${rule}: ${JSON.stringify(state) ?? "nothing"}`);
  };
  if (!isRecord(value)) return fail("there must be a table of them", value);
  const { candidates, runs, classes } = value;
  if (!Array.isArray(candidates) || !Array.isArray(runs) || !Array.isArray(classes) || classes.length === 0) {
    return fail("a table must have candidates, runs and classes", Object.keys(value));
  }
  const strange = candidates.find((each) => !isCandidate(each, kind));
  if (strange !== undefined) fail("the kernel must have a form for each", strange);
  const unclear = runs.find((each) => !isRun(each));
  if (unclear !== undefined) fail("a run must say where and when it was", unclear);
  const unknown = classes.find((each) => !isClass(each, candidates, runs));
  if (unknown !== undefined) fail("a class must have extents, and rates of candidates that there are", unknown);
}

/**
 * Reads tables that were measured elsewhere, such as those that `tuneTiles` gave and that were kept as JSON.
 *
 * @param value What JSON.parse gives.
 * @throws {ConfigError} when they are not whole, or hold tiles for which there is no kernel.
 */
export function readTileTables(value: unknown): TileTables {
  const tables = isRecord(value) ? value : {};
  for (const [op, kinds] of Object.entries(KINDS)) {
    const given = tables[op];
    for (const [name, kind] of Object.entries(kinds)) {
      checkTable(isRecord(given) ? given[name] : undefined, kind, `${op}, ${name}`);
    }
  }
  return tables as unknown as TileTables;
}

const chosen = new WeakMap<Device, TileTables>();

/**
 * Sets the tables that a device's kernels are chosen by from now on.
 *
 * @param tables Those that `tuneTiles` or `readTileTables` gave; the ones that come with this library when not given.
 */
export function useTiles(device: Device, tables: TileTables = SHIPPED_TILES): void {
  chosen.set(device, tables);
  device.bindGroups.clear(); // and with them what steps came to with other kernels
}

/** The tables that a device's kernels are chosen by; the same object until others are set. */
export function tilesOf(device: Device): TileTables {
  return chosen.get(device.rehearsed ?? device) ?? SHIPPED_TILES;
}

/** What was chosen on a device so far, by words; forgotten when its tables change. */
export class TileChoices<Variant> {
  readonly #of = new WeakMap<Device, { tables: TileTables; variants: WordMap<Variant> }>();

  /** Those made by the tables that the device has now. */
  on(device: Device): WordMap<Variant> {
    const tables = tilesOf(device);
    let known = this.#of.get(device);
    if (known?.tables !== tables) this.#of.set(device, known = { tables, variants: new WordMap() });
    return known.variants;
  }
}

/** One of the tables, with tiles of any kernel. */
export function tableOf(tables: TileTables, op: TiledOp, kind: string): TileTable<AnyTile> {
  return (tables[op] as unknown as Record<string, TileTable<AnyTile>>)[kind];
}

/** The tables with one of them exchanged. */
export function withTable(tables: TileTables, op: TiledOp, kind: string, table: TileTable<AnyTile>): TileTables {
  return { ...tables, [op]: { ...tables[op], [kind]: table } };
}

/** The tables with a single choice for one kind of kernel. */
export function withOnlyTile(tables: TileTables, op: TiledOp, kind: string, index: number): TileTables {
  return withTable(tables, op, kind, onlyTile(tableOf(tables, op, kind), index));
}
