// The search for tiles: what it makes of fast, slow, wrong and failing candidates, and that real ones give what they should.

import assert from "node:assert/strict";
import { Device } from "../../src/gpu/device.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import { add } from "../../src/ops/add.ts";
import { matrixShape } from "../../src/ops/matmul_variants.ts";
import { readTileTables, SHIPPED_TILES, tilesOf, type TileTables, useTiles } from "../../src/ops/tile_tables.ts";
import { matmulWork } from "../../src/tune/matmul_work.ts";
import { convWork } from "../../src/tune/conv2d_work.ts";
import { attentionWork } from "../../src/tune/attention_work.ts";
import { PIXART_WORKS } from "../../src/tune/pixart_works.ts";
import { searchTiles, type TiledWork, type TileRow } from "../../src/tune/search.ts";
import { tuneTiles } from "../../src/tune/tune_tiles.ts";
import { sample } from "../../src/tune/work.ts";
import { device } from "../_device.ts";

const COUNT = 1 << 16;
const RUN = { device: "a test", backend: "none", date: "2026-01-01", commit: "abc" };

/** The candidates of the fake work by a number of each, and the one that is chosen before. */
const TILES = [1, 2, 3, 4], PRESENT = 3;
const tileOf = (number: number) => ({ GROUP_X: 8, GROUP_Y: 8, TILE_K: 4 * number });

const tables: TileTables = structuredClone(SHIPPED_TILES);
tables.matmul.tile = {
  candidates: TILES.map((number) => ({ tile: tileOf(number) })),
  runs: [RUN],
  classes: [{ rows: 1, columns: 1, best: PRESENT, rates: [null, null, null, 1], run: 0 }],
};

/** x + y as often as `times` says for the tile that is chosen; of a wrong number for one tile, and not at all for another. */
function fakeWork(times: (tile: number) => number, { wrong = 0, failing = 0 } = {}): TiledWork {
  const chosen = (device: Device) => {
    const { candidates, classes } = tilesOf(device).matmul.tile;
    return candidates[classes[0].best].tile.TILE_K / 4;
  };
  return {
    ...{ op: "matmul", shape: "fake", dtype: "f32", flops: COUNT, bytes: COUNT, tolerance: 1e-6 },
    extents: { rows: 7, columns: 7, depth: 7, weights: "f32" },
    variant: (device) => ({ name: "tile", constants: tileOf(chosen(device)) }),
    open(device) {
      const [x, y] = [2, 3].map((factor) =>
        device.upload(Float32Array.from({ length: COUNT }, (_, i) => i * factor), [1, COUNT])
      );
      return Promise.resolve({
        record(rec: Recorder) {
          const tile = chosen(device);
          if (tile === failing) assert.fail("no such kernel\nat all");
          for (let i = 1; i < times(tile); i++) add(rec, x, y);
          return add(rec, x, tile === wrong ? x : y);
        },
        [Symbol.dispose]: () => [x, y].forEach((tensor) => tensor.dispose()),
      });
    },
    expected: () => sample(COUNT, (i) => 5 * i),
  };
}

const oneOf = (rows: readonly TileRow[], key: "best" | "present") => rows.filter((row) => row[key]);

Deno.test("searchTiles() replaces the present tile by one that is clearly faster, and keeps it else", async () => {
  try {
    useTiles(device, tables);
    const told: number[] = [];
    const { rows, tables: found } = await searchTiles(device, [fakeWork((tile) => tile === 2 ? 4 : 60)], {
      run: RUN,
      onWork: (rows, _tables, done) => void told.push(rows.length, done),
    });
    assert.deepEqual(told, [4, 1]);
    assert.deepEqual(oneOf(rows, "present").map(({ tile }) => tile), [tileOf(4)]);
    assert.deepEqual(oneOf(rows, "best").map(({ tile }) => tile), [tileOf(2)]);
    assert.equal(tilesOf(device), tables, "the device's own tables are as before");
    const [first, ...others] = found.matmul.tile.classes;
    assert.deepEqual({ ...first, rates: [] }, {
      rows: 7,
      columns: 7,
      depth: 7,
      weights: "f32",
      best: 1,
      rates: [],
      run: 0,
    });
    assert.ok(first.rates.every((rate) => rate! > 0) && first.rates[1]! > 2 * first.rates[3]!);
    assert.deepEqual(others, tables.matmul.tile.classes);
    assert.deepEqual(found.matmul.tile.runs, [RUN]);
    assert.equal(found.matmul.wide, tables.matmul.wide);
    readTileTables(JSON.parse(JSON.stringify(found)));

    const slow = await searchTiles(device, [fakeWork((tile) => tile === 4 ? 4 : 60)], { run: RUN });
    assert.deepEqual(oneOf(slow.rows, "best").map(({ tile }) => tile), [tileOf(4)]);
  } finally {
    useTiles(device);
  }
});

Deno.test("searchTiles() never chooses a tile that is wrong or fails, however fast", async () => {
  try {
    useTiles(device, tables);
    const work = fakeWork((tile) => [0, 4, 8, 60, 60][tile], { wrong: 1, failing: 2 });
    const { rows, tables: found } = await searchTiles(device, [work], { run: RUN });
    assert.deepEqual(rows.map(({ ok, note }) => [ok, note?.slice(0, 14)]), [
      [false, "wrong: off by "],
      [false, "no such kernel"],
      [true, undefined],
      [true, undefined],
    ]);
    assert.deepEqual(found.matmul.tile.classes[0].rates.slice(0, 2), [null, null]);
    assert.ok(oneOf(rows, "best").every(({ tile }) => tile.TILE_K > 8));
  } finally {
    useTiles(device);
  }
});

Deno.test("searchTiles() begins nothing when its time is over, and stops when it is told to", async () => {
  try {
    useTiles(device, tables);
    const late = await searchTiles(device, [fakeWork(() => 1)], { run: RUN, limit: 0 });
    assert.deepEqual([late.rows, late.late], [[], ["matmul fake f32"]]);
    assert.equal(late.tables, tables);
    const signal = AbortSignal.abort(new Error("stop"));
    await assert.rejects(searchTiles(device, [fakeWork(() => 1)], { run: RUN, signal }), /stop/);
    assert.equal(tilesOf(device), tables);
  } finally {
    useTiles(device);
  }
});

// Ragged extents that every kernel takes; some tiles are wider than all of it.
const RAGGED = [
  ...(["f32", "f16", "int8"] as const).map((dtype) => matmulWork({ what: "ragged", M: 75, K: 100, N: 88 }, dtype)),
  ...(["f32", "f16"] as const).map((dtype) => convWork({ side: 9, CI: 64, CO: 40 }, dtype)),
  ...(["f32", "f16"] as const).map((dtype) =>
    attentionWork({ what: "ragged", heads: 2, headWidth: 72, queries: 75, keys: 45, masked: true, biased: true }, dtype)
  ),
];

for (const software of [undefined, false]) {
  const which = software === false ? "a GPU" : "this device";
  Deno.test(`every tile that ${which} has room for gives what plain loops give`, async () => {
    using own = await Device.open({ software });
    const { rows } = await searchTiles(own, RAGGED, { run: RUN });
    const kinds = new Set(rows.map(({ kind }) => kind));
    assert.ok(kinds.has(own.software ? "wide" : "tile"), [...kinds].join());
    assert.equal(kinds.has("matrix"), !own.software && matrixShape(own) !== undefined);
    for (const { op, shape, dtype, kind, tile, note } of rows) {
      assert.equal(note, undefined, `${op} ${shape} ${dtype} ${kind} ${JSON.stringify(tile)}`);
    }
  });
}

Deno.test("tuneTiles() sets what it found", async () => {
  using own = await Device.open();
  const { tables, late } = await tuneTiles(own, { limit: 1e-9 });
  assert.equal(tilesOf(own), tables);
  assert.ok(late.length > 5);
});

Deno.test("every piece of work for tuning has words of its own, and a right answer to compare with", () => {
  const names = PIXART_WORKS.map(({ op, shape, dtype }) => `${op} ${shape} ${dtype}`);
  assert.equal(new Set(names).size, names.length);
  assert.ok(PIXART_WORKS.every(({ words, flops }) => words.length > 0 && flops > 0));
});
