// The search for tiles: every candidate of a kernel's table at work of the real extents. In: a device, the works. Out: tables with
// what was measured. Each result is compared with plain loops, since a kernel that does nothing is fast.

import type { Device } from "../gpu/device.ts";
import type { ProductExtents, TileClass, TileRun, TileTable } from "../ops/tile_table.ts";
import {
  type AnyTile,
  tableOf,
  type TiledOp,
  tilesOf,
  type TileTables,
  useTiles,
  withOnlyTile,
  withTable,
} from "../ops/tile_tables.ts";
import { roundTrip, timeWork } from "./gpu_clock.ts";
import type { Patience } from "./measure.ts";
import { firstRun, type Opened, relativeL2, toleranceOf, type Work } from "./work.ts";

/** Work of an op whose kernels have tables. */
export interface TiledWork extends Work {
  op: TiledOp;
  extents: ProductExtents;
  /** The kernel that a device chooses for it. */
  variant(device: Device): { name: string; constants: Readonly<Record<string, unknown>> };
  expected(): ReturnType<NonNullable<Work["expected"]>>;
}

/** What was found of one candidate at one work. */
export interface TileRow {
  op: TiledOp;
  shape: string;
  dtype: string;
  /** The kind of kernel. */
  kind: string;
  tile: AnyTile;
  /** GFLOP/s; missing where it failed. */
  rate?: number;
  /** How far the median of the times lies above the least, as a share of that. */
  spread?: number;
  /** Relative L2 distance from plain loops, at some elements. */
  error?: number;
  ok: boolean;
  /** Why it failed. */
  note?: string;
  /** Whether it is what was chosen before. */
  present: boolean;
  /** Whether it is what is chosen now: the present one, unless another is faster by more than timing's spread. */
  best: boolean;
}

/** What a search found. */
export interface TileSearch {
  rows: TileRow[];
  /** The tables with the classes that were measured; all else is as before. */
  tables: TileTables;
  /** Work that there was no time for. */
  late: string[];
}

/** How to search. */
export interface SearchOptions {
  /** What the classes are stamped with. */
  run: TileRun;
  /** Seconds after which no further work begins. */
  limit?: number;
  signal?: AbortSignal;
  /** Told the rows of each work when it is done, the tables so far, and how many of all works that were. */
  onWork?(rows: readonly TileRow[], tables: TileTables, done: number, total: number): void | Promise<void>;
}

// A first look at every candidate, and turns of the two that are left: the machine may be slower in one minute than in the next.
const LOOK: Record<"cpu" | "gpu", Patience> = {
  cpu: { budgetMs: 600, atLeast: 3, atMost: 6, spread: 0.03 },
  gpu: { budgetMs: 150, atLeast: 3, atMost: 8, spread: 0.02 },
};
const TURNS = 3;
/** Shares of the time that no difference is believed below. */
const LEAST_SPREAD = 0.01;

interface Timed {
  minMs: number;
  spread: number;
}

/** A candidate under test. */
interface Contender {
  index: number;
  row: TileRow;
  timed?: Timed;
}

const sameTile = (tile: AnyTile, constants: Readonly<Record<string, unknown>>) =>
  Object.entries(tile).every(([name, value]) => constants[name] === value);

/** One work on one device, with tables that leave a single choice. */
class Trial {
  constructor(
    private readonly device: Device,
    private readonly work: TiledWork,
    private readonly kind: string,
    private readonly opened: Opened,
    private readonly emptyMs: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Whether the device takes a candidate, when it is the only choice. */
  choose(tables: TileTables, index: number): boolean {
    useTiles(this.device, withOnlyTile(tables, this.work.op, this.kind, index));
    const { name, constants } = this.work.variant(this.device);
    return name === this.kind && sameTile(tableOf(tables, this.work.op, this.kind).candidates[index].tile, constants);
  }

  async time(): Promise<Timed> {
    const { device, emptyMs, signal } = this;
    const patience = LOOK[device.software ? "cpu" : "gpu"];
    return await timeWork(device, (rec) => this.opened.record(rec), { emptyMs, patience, signal });
  }

  /** Fills in a candidate's row: whether it is right, and how fast. */
  async look(contender: Contender, expected: ReturnType<TiledWork["expected"]>): Promise<void> {
    const { row } = contender, { device, work, kind } = this;
    try {
      const { sample } = await firstRun(device, this.opened, expected.places);
      row.error = relativeL2(sample.values, expected.values);
      const tolerance = toleranceOf(work, kind);
      if (!(row.error <= tolerance)) {
        throw new Error(`wrong: off by ${row.error.toExponential(1)}, and ${tolerance} may be`);
      }
      contender.timed = await this.time();
      row.ok = true;
    } catch (error) {
      this.signal?.throwIfAborted();
      row.note = error instanceof Error ? error.message.split("\n")[0] : String(error);
    }
    device.arena.trim();
  }
}

/** How far the slowest of some times lies above the least, as a share of that. */
const spreadOf = (times: readonly number[]) => Math.max(...times) / Math.min(...times) - 1;

/** What several looks at one candidate tell together. */
function merge(looks: readonly Timed[]): Timed {
  const times = looks.map(({ minMs }) => minMs);
  return { minMs: Math.min(...times), spread: Math.max(spreadOf(times), ...looks.map(({ spread }) => spread)) };
}

/** The fastest candidate, unless the present one is as fast within the spread of the turns that both take. */
async function settle(
  trial: Trial,
  tables: TileTables,
  contenders: readonly Contender[],
): Promise<Contender | undefined> {
  const right = contenders.filter(({ timed }) => timed).sort((a, b) => a.timed!.minMs - b.timed!.minMs);
  const present = right.find(({ row }) => row.present), [fastest] = right;
  if (!present || fastest === present) return fastest;
  const both = [present, fastest], looks: Timed[][] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [i, { index }] of both.entries()) {
      trial.choose(tables, index);
      looks[i].push(await trial.time());
    }
  }
  const [old, fast] = looks.map(merge);
  present.timed = old;
  fastest.timed = fast;
  return fast.minMs * (1 + Math.max(LEAST_SPREAD, old.spread, fast.spread)) < old.minMs ? fastest : present;
}

/** The table with a class in the place of the one of the same extents; runs that no class is of are left out. */
function withClass(table: TileTable<AnyTile>, measured: Omit<TileClass, "run">, run: TileRun): TileTable<AnyTile> {
  const { rows, columns, depth, weights } = measured;
  const others = table.classes.filter((each) =>
    each.rows !== rows || each.columns !== columns || each.depth !== depth || each.weights !== weights
  );
  const same = (each: TileRun) => JSON.stringify(each) === JSON.stringify(run);
  const runs = table.runs.some(same) ? table.runs : [...table.runs, run];
  const all = [...others, { ...measured, run: runs.findIndex(same) }];
  const used = runs.filter((_, i) => all.some((each) => each.run === i));
  const classes = all.map((each) => ({ ...each, run: used.indexOf(runs[each.run]) }))
    .sort((a, b) => b.rows - a.rows || b.columns - a.columns || (b.depth ?? 0) - (a.depth ?? 0));
  return { ...table, runs: used, classes };
}

/** Work whose kernel on a device has a table, each kernel's once where weights make no difference. */
function tiledWorks(device: Device, works: readonly TiledWork[]): TiledWork[] {
  const seen = new Set<string>();
  return works.filter((work) => {
    const { name } = work.variant(device);
    const key = JSON.stringify([work.op, name, work.extents]);
    if (!tableOf(tilesOf(device), work.op, name) || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** All candidates at one work. */
async function searchWork(
  device: Device,
  work: TiledWork,
  tables: TileTables,
  emptyMs: number,
  signal: AbortSignal | undefined,
): Promise<{ rows: TileRow[]; kind: string; measured?: Omit<TileClass, "run"> }> {
  const { name: kind, constants } = work.variant(device);
  const table = tableOf(tables, work.op, kind);
  using opened = await work.open(device);
  const trial = new Trial(device, work, kind, opened, emptyMs, signal);
  const expected = work.expected();
  const contenders: Contender[] = [];
  for (const [index, { tile }] of table.candidates.entries()) {
    signal?.throwIfAborted();
    if (!trial.choose(tables, index)) continue; // no room for it
    const { op, shape, dtype } = work;
    const row = { op, shape, dtype, kind, tile, ok: false, present: sameTile(tile, constants), best: false };
    contenders.push({ index, row });
    await trial.look(contenders.at(-1)!, expected);
  }
  const best = await settle(trial, tables, contenders);
  const rates: (number | null)[] = Array(table.candidates.length).fill(null);
  for (const { index, row, timed } of contenders) {
    if (!timed) continue;
    row.rate = work.flops / timed.minMs / 1e6;
    row.spread = timed.spread;
    rates[index] = Number(row.rate.toPrecision(4));
  }
  if (best) best.row.best = true;
  const measured = best && { ...work.extents, best: best.index, rates };
  return { rows: contenders.map(({ row }) => row), kind, measured };
}

/**
 * Measures every tile that a device has room for at each work, one after the other.
 *
 * @param works The most important first, as time may run out.
 * @returns What was found; the device's own tables are as before.
 * @throws what `signal` is aborted with.
 */
export async function searchTiles(
  device: Device,
  works: readonly TiledWork[],
  { run, limit = Infinity, signal, onWork }: SearchOptions,
): Promise<TileSearch> {
  const start = performance.now();
  const before = tilesOf(device), tiled = tiledWorks(device, works);
  const found: TileSearch = { rows: [], tables: before, late: [] };
  try {
    const emptyMs = await roundTrip(device);
    for (const [i, work] of tiled.entries()) {
      signal?.throwIfAborted();
      if (performance.now() - start > 1000 * limit) {
        found.late.push(`${work.op} ${work.shape} ${work.dtype}`);
        continue;
      }
      useTiles(device, before);
      const { rows, kind, measured } = await searchWork(device, work, before, emptyMs, signal);
      found.rows.push(...rows);
      if (measured) {
        const table = withClass(tableOf(found.tables, work.op, kind), measured, run);
        found.tables = withTable(found.tables, work.op, kind, table);
      }
      await onWork?.(rows, found.tables, i + 1, tiled.length);
    }
  } finally {
    useTiles(device, before);
  }
  return found;
}
