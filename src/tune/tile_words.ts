// What was found of a tile, as text. In: a row of a search. Out: words.

import type { TileRow } from "./search.ts";

/** The constants of a tile in words: `GROUP_X 16 GROUP_Y 16 TILE_K 16`. */
export const tileName = (tile: TileRow["tile"]): string =>
  Object.entries(tile).map((constant) => constant.join(" ")).join(" ");

/** The rate of a row in words; empty where it failed. */
export function formatRate({ rate }: Pick<TileRow, "rate">): string {
  if (rate === undefined) return "";
  return rate >= 1e4 ? `${(rate / 1e3).toFixed(1)} TFLOP/s` : `${rate.toFixed(1)} GFLOP/s`;
}
