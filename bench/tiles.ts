// Which tile of a kernel is fastest: every candidate of the tables in src/ops/tiles at PixArt's shapes. In: words that choose works.
// Out: a report; the tables with what was measured, as files.

import { fileURLToPath } from "node:url";
import { formatTable } from "../src/cli/table.ts";
import { UsageError } from "../src/errors.ts";
import type { Backend } from "../src/gpu/backend.ts";
import { Device } from "../src/gpu/device.ts";
import { writeFileWhole } from "../src/io/output_file.ts";
import {
  readTileTables,
  SHIPPED_TILES,
  tableOf,
  TILED_KINDS,
  type TiledOp,
  type TileTables,
  useTiles,
} from "../src/ops/tile_tables.ts";
import { PIXART_WORKS } from "../src/tune/pixart_works.ts";
import { searchTiles, type TileRow } from "../src/tune/search.ts";
import { formatRate, tileName } from "../src/tune/tile_words.ts";
import { commit, describeMachine } from "./machine.ts";
import type { Machine } from "./report.ts";
import { select } from "./selection.ts";

/** What a search for tiles leaves behind. */
export interface TileReport {
  /** ISO 8601. */
  date: string;
  commit: string;
  seconds: number;
  machine: Machine;
  rows: TileRow[];
  /** What was not measured, and why. */
  skipped: string[];
}

/** How to search. */
export interface TileBenchOptions {
  backend?: Backend;
  /** Seconds after which no further work begins. */
  limit?: number;
  signal: AbortSignal;
  /** Told a line as each work is done. */
  log(line: string): void;
  /** The folder where tables are written; those that are there already are gone on from. */
  folder?: string;
}

/** What became of a work in a line. */
function workLine(rows: readonly TileRow[]): string {
  const [best, present] = [rows.find((row) => row.best), rows.find((row) => row.present)];
  const [{ op, shape, dtype, kind }] = rows;
  const words = !best
    ? "NOT OK: no candidate is right"
    : `${tileName(best.tile)}, ${formatRate(best)}${
      best === present ? "" : `, in place of ${present ? `${tileName(present.tile)}, ${formatRate(present)}` : "none"}`
    }`;
  return `${op} ${shape} ${dtype} ${kind}: ${words}`;
}

/**
 * Measures candidates.
 *
 * @param words As `select` takes them.
 * @throws {UsageError} when a word is unknown, or nothing is left.
 * @throws {DeviceError} when there is no adapter.
 */
export async function benchTiles(
  words: readonly string[],
  { backend, limit, signal, log, folder }: TileBenchOptions,
): Promise<TileReport> {
  select(PIXART_WORKS, words); // bad words are told before anything is opened
  const start = performance.now();
  using device = await Device.open({ backend });
  const { software } = device;
  const { cases, tooLarge } = select(PIXART_WORKS, words, { software });
  if (cases.length === 0) throw new UsageError(`Cannot measure tiles of ${words.join(" ")} as none depend on a tile`);
  const report: TileReport = {
    date: new Date().toISOString(),
    commit: commit(),
    seconds: 0,
    machine: describeMachine(device),
    rows: [],
    skipped: [],
  };
  const { machine, date } = report;
  log(`${machine.device} through ${machine.backend}: tiles at ${cases.length} works`);
  const run = { device: machine.device, backend: machine.backend, date: date.slice(0, 10), commit: report.commit };
  const before = folder === undefined ? SHIPPED_TILES : await readTables(folder);
  useTiles(device, before);
  const { rows, late } = await searchTiles(device, cases, {
    run,
    limit,
    signal,
    async onWork(rows, tables) {
      log(workLine(rows));
      if (folder !== undefined) await writeTables(folder, tables, before); // at once, as the run may be cut off
    },
  });
  report.rows = rows;
  const names = tooLarge.map(({ op, shape, dtype }) => `${op} ${shape} ${dtype}`);
  for (const [why, left] of [["too much for a CPU unless its size is named", names], ["no time", late]] as const) {
    if (left.length > 0) report.skipped.push(`${why}: ${left.join(", ")}`);
  }
  report.seconds = (performance.now() - start) / 1000;
  return report;
}

/** A row for each candidate, and what is chosen. */
export function formatTileReport({ machine, rows, skipped, commit, date, seconds }: TileReport): string {
  const cells = rows.map(({ op, shape, dtype, kind, tile, rate, spread, ok, note, present, best }) => [
    `${op} ${shape} ${dtype}`,
    kind,
    tileName(tile),
    formatRate({ rate }),
    spread === undefined ? "" : `${(100 * spread).toFixed(1)}%`,
    ok ? [...(best ? ["chosen"] : []), ...(present ? ["present"] : [])].join(", ") : `NOT OK: ${note}`,
  ]);
  return [
    `${machine.device} through ${machine.backend}, ${machine.driver}; commit ${commit}, ${date}, ${
      seconds.toFixed(0)
    } s`,
    formatTable(["work", "kernel", "tile", "rate", "spread", ""], cells, [3, 4]),
    "A tile replaces the present one where it is faster by more than the spread of both in turns.",
    ...(skipped.length > 0 ? [`not measured: ${skipped.join("; ")}`] : []),
  ].join("\n");
}

/** A value as JSON on one line. */
function line(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(line).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value).map(([key, each]) => `"${key}": ${line(each)}`).join(", ")} }`;
}

/** A table of the files as JSON, a candidate, a run and a class a line. */
export function formatTables(op: TiledOp, tables: TileTables): string {
  const lists = (kind: string) => {
    const { candidates, runs, classes } = tableOf(tables, op, kind);
    const list = (name: string, values: readonly unknown[]) =>
      `    "${name}": [\n${values.map((value) => `      ${line(value)}`).join(",\n")}\n    ]`;
    return [list("candidates", candidates), list("runs", runs), list("classes", classes)].join(",\n");
  };
  const kinds = TILED_KINDS.filter((each) => each.op === op).map(({ kind }) => `  "${kind}": {\n${lists(kind)}\n  }`);
  return `{\n${kinds.join(",\n")}\n}\n`;
}

/** Where the tables of this checkout lie. */
export const TILES_FOLDER: string = fileURLToPath(new URL("../src/ops/tiles", import.meta.url));

const OPS = Object.keys(SHIPPED_TILES) as TiledOp[];

/** The tables of a folder; of ops that have none there, those of this checkout. */
async function readTables(folder: string): Promise<TileTables> {
  const tables: Record<string, unknown> = { ...SHIPPED_TILES };
  for (const op of OPS) {
    try {
      tables[op] = JSON.parse(await Deno.readTextFile(`${folder}/${op}.json`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return readTileTables(tables);
}

/** Writes the files of the ops whose tables changed. */
async function writeTables(folder: string, tables: TileTables, before: TileTables): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const op of OPS.filter((op) => tables[op] !== before[op])) {
    const bytes = new TextEncoder().encode(formatTables(op, tables));
    await writeFileWhole(`${folder}/${op}.json`, { overwrite: true }, (file) => file.append(bytes));
  }
}
