// The bench of tiles: the files of tables are as it writes them, and what it tells of a search.

import assert from "node:assert/strict";
import { benchTiles, formatTables, formatTileReport, type TileReport, TILES_FOLDER } from "../../bench/tiles.ts";
import { UsageError } from "../../src/errors.ts";
import { SHIPPED_TILES, type TiledOp } from "../../src/ops/tile_tables.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { REPORT } from "./_report.ts";

const { signal } = new AbortController();

Deno.test("formatTables() makes the files of src/ops/tiles", () => {
  for (const op of Object.keys(SHIPPED_TILES) as TiledOp[]) {
    assert.equal(formatTables(op, SHIPPED_TILES), Deno.readTextFileSync(`${TILES_FOLDER}/${op}.json`), op);
  }
});

Deno.test("benchTiles() measures the works that the words choose, and writes tables that it can go on from", async () => {
  using temporary = temporaryFolder();
  const folder = `${temporary.path}/tiles`, lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  await assert.rejects(benchTiles(["matmull"], { signal, log }), UsageError);
  const first = await benchTiles(["matmul", "256", "f16"], { signal, log, folder, limit: 1e-9 });
  assert.deepEqual(first.rows, []);
  assert.equal(first.skipped.length, 1);
  assert.match(first.skipped[0], /^no time: matmul [^,]+ f16, matmul /);
  assert.match(lines[0], /tiles at \d+ works$/);
  assert.throws(() => Deno.statSync(folder), Deno.errors.NotFound);
  Deno.mkdirSync(folder);
  Deno.writeTextFileSync(`${folder}/conv2d.json`, "{}");
  await assert.rejects(benchTiles(["lora"], { signal, log, folder, limit: 1e-9 }), UsageError);
  await assert.rejects(benchTiles(["matmul"], { signal, log, folder, limit: 1e-9 }), /conv2d, matrix/);
});

Deno.test("formatTileReport() tells rates, what is chosen, what was before, and what is wrong", () => {
  const work = { op: "matmul", shape: "proj 1x2x3", dtype: "f16", kind: "tile" } as const;
  const report: TileReport = {
    ...{ date: REPORT.date, commit: "abcdefg", seconds: 5, machine: REPORT.machine, skipped: ["conv2d: no time"] },
    rows: [
      { ...work, tile: { A: 1, B: 2 }, rate: 12345, spread: 0.012, error: 0, ok: true, present: false, best: true },
      { ...work, tile: { A: 2, B: 2 }, rate: 999, spread: 0.2, error: 0, ok: true, present: true, best: false },
      { ...work, tile: { A: 3, B: 2 }, ok: false, note: "wrong: off by 1", present: false, best: false },
    ],
  };
  const text = formatTileReport(report);
  assert.match(text, /tile +A 1 B 2 +12\.3 TFLOP\/s +1\.2% +chosen\n/);
  assert.match(text, /tile +A 2 B 2 +999\.0 GFLOP\/s +20\.0% +present\n/);
  assert.match(text, /A 3 B 2 +NOT OK: wrong: off by 1\n/);
  assert.match(text, /not measured: conv2d: no time$/);
});
