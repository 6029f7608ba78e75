// A table of tiles: how a kernel may share out its work, and how fast each way was at some products. In: the extents of a product,
// what each tile covers on a device. Out: the tile to use. The numbers are measured, by `./pixart bench --tiles` or on this very
// adapter by `./pixart doctor --tune`; `tile_tables.ts` says which kernels have one.

/** The extents that tiles are chosen by: of attention, queries, the width of a head, and keys; of a convolution, outputs and channels. */
export interface ProductExtents {
  rows: number;
  columns: number;
  /** What is summed over; any when not given. */
  depth?: number;
  /** How weights are kept; any when not given. */
  weights?: string;
}

/** A tile that may be chosen. */
export interface TileCandidate<Tile> {
  /** Constants of the kernel. */
  tile: Tile;
  /** Workgroups that run at one time: the last ones of a product often leave some of these places empty. 1 when not given. */
  atOnce?: number;
}

/** When and where something was measured. */
export interface TileRun {
  device: string;
  backend: string;
  /** The day, as ISO 8601 has it. */
  date: string;
  /** Of this library; where it is not given, it was measured by whoever uses it. */
  commit?: string;
  /** What is special about it. */
  note?: string;
}

/** What was measured at one product; it stands for all products that are nearer to it than to others. */
export interface TileClass extends ProductExtents {
  /** The candidate that is chosen here. */
  best: number;
  /** GFLOP/s of each candidate; null, or left out at the end, where it was not measured. */
  rates: (number | null)[];
  /** The run that measured it. */
  run: number;
}

/** The tiles of one kind of kernel. */
export interface TileTable<Tile> {
  candidates: TileCandidate<Tile>[];
  runs: TileRun[];
  classes: TileClass[];
}

/** What a workgroup covers of the result. */
export interface TileExtents {
  rows: number;
  columns: number;
}

/** What two types of weights are apart, in doublings of an extent. */
const OTHER_WEIGHTS = 2;

/** How far two products are apart: by how many doublings of their extents. */
function distance(a: ProductExtents, b: ProductExtents): number {
  const doublings = (x?: number, y?: number) => x === undefined || y === undefined ? 0 : Math.abs(Math.log2(x / y));
  const others = a.weights !== undefined && b.weights !== undefined && a.weights !== b.weights;
  return doublings(a.rows, b.rows) + doublings(a.columns, b.columns) + doublings(a.depth, b.depth) +
    (others ? OTHER_WEIGHTS : 0);
}

/** How much of what the workgroups of a product take is within its edges, with the places counted that the last ones leave empty. */
function usedShare({ rows, columns }: ProductExtents, covered: TileExtents, atOnce = 1): number {
  const workgroups = Math.ceil(rows / covered.rows) * Math.ceil(columns / covered.columns);
  return rows * columns / (Math.ceil(workgroups / atOnce) * atOnce * covered.rows * covered.columns);
}

/**
 * Chooses the tile that is fastest for a product: by the rates at the nearest product that was measured, and by what each tile
 * computes beyond the edges of this one and of that one. A tile that was faster than the best by less than timing tells counts as
 * no faster.
 *
 * @param covers What a tile covers on this device; undefined where the device has no room for it.
 * @returns The tile; undefined when none fits that was measured.
 */
export function chooseTile<Tile>(
  { candidates, classes }: TileTable<Tile>,
  asked: ProductExtents,
  covers: (tile: Tile) => TileExtents | undefined,
): Tile | undefined {
  const covered = candidates.map(({ tile }) => covers(tile));
  const known = classes
    .filter(({ rates }) => rates.some((rate, i) => rate && covered[i]))
    .toSorted((a, b) => distance(a, asked) - distance(b, asked))[0];
  if (!known) return undefined;
  const most = known.rates[known.best]!;
  let chosen: number | undefined, highest = 0;
  for (const i of [known.best, ...known.rates.keys()]) {
    const rate = known.rates[i], extents = covered[i], { atOnce } = candidates[i];
    if (!rate || !extents) continue;
    const speed = Math.min(rate, most) * (usedShare(asked, extents, atOnce) / usedShare(known, extents, atOnce));
    if (speed > highest) [chosen, highest] = [i, speed];
  }
  return chosen === undefined ? undefined : candidates[chosen].tile;
}

/** A table in which one candidate is the only choice. */
export function onlyTile<Tile>({ candidates }: TileTable<Tile>, index: number): TileTable<Tile> {
  const run = { device: "any", backend: "any", date: "any" };
  return {
    candidates: [candidates[index]],
    runs: [run],
    classes: [{ rows: 1, columns: 1, best: 0, rates: [1], run: 0 }],
  };
}
