// The tables of tiles: that the files hold tiles which their kernels have, what is chosen by them at PixArt's shapes, and what becomes
// of tables from elsewhere.

import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import type { DeviceLimits } from "../../src/gpu/device.ts";
import { attentionSubgroupsFit, attentionTileFits } from "../../src/ops/attention_tiles.ts";
import {
  chooseMatrixTile,
  chooseWorkgroupTile,
  type MatrixShape,
  matrixTileExtents,
  matrixTileFits,
  wideTileExtents,
  workgroupTileFits,
} from "../../src/ops/matmul_tiles.ts";
import { matmulVariant, matrixMatmul, matrixShape, tileMatmul } from "../../src/ops/matmul_variants.ts";
import { chooseTile } from "../../src/ops/tile_table.ts";
import {
  readTileTables,
  SHIPPED_TILES,
  tableOf,
  TILED_KINDS,
  tilesOf,
  useTiles,
  withOnlyTile,
} from "../../src/ops/tile_tables.ts";
import { device } from "../_device.ts";

const { matmul, attention, conv2d } = SHIPPED_TILES;

const matrices = (size: number, lanes: number): MatrixShape => {
  return { MATRIX_M: size, MATRIX_N: size, MATRIX_K: size, SUBGROUP_SIZE: lanes };
};

/** A GPU with so much workgroup memory, and so many lanes a workgroup. */
const limits = (kibibytes: number, lanes = 1024): DeviceLimits => ({
  ...device.limits,
  maxComputeWorkgroupStorageSize: kibibytes * 1024,
  maxComputeInvocationsPerWorkgroup: lanes,
  maxComputeWorkgroupSizeX: lanes,
  maxComputeWorkgroupSizeY: lanes,
});

/** WebGPU's defaults, which every device has, and what large GPUs have. */
const LEAST = limits(16, 256), LARGE = limits(48);

Deno.test("readTileTables() takes the tables of this library", () => {
  assert.deepEqual(readTileTables(structuredClone(SHIPPED_TILES)), SHIPPED_TILES);
  for (const { op, kind } of TILED_KINDS) {
    const { candidates, runs, classes } = tableOf(SHIPPED_TILES, op, kind);
    const known = candidates.map(({ tile }) => JSON.stringify(tile));
    assert.equal(new Set(known).size, known.length, `${op}, ${kind}: a candidate twice`);
    assert.ok(runs.every((_, i) => classes.some(({ run }) => run === i)), `${op}, ${kind}: a run without a class`);
    for (const { best, rates } of classes) assert.ok(rates[best]! > 0);
  }
});

Deno.test("no table holds a tile that large GPUs have no room for", () => {
  for (const { tile } of [...matmul.matrix.candidates, ...conv2d.matrix.candidates]) {
    assert.ok(matrixTileFits(tile, matrices(16, 32), LARGE), JSON.stringify(tile));
  }
  for (const half of [false, true]) {
    for (const { tile } of matmul[half ? "tile-f16" : "tile"].candidates) {
      assert.ok(workgroupTileFits(tile, half, LARGE), JSON.stringify(tile));
    }
  }
  for (const { tile } of attention.tile.candidates) assert.ok(attentionTileFits(tile, 72, LARGE), JSON.stringify(tile));
  for (const { tile } of attention.matrix.candidates) {
    const fits = [16, 8].some((size) => attentionSubgroupsFit(tile, 72, matrices(size, 32), LARGE));
    assert.ok(fits, JSON.stringify(tile));
  }
});

Deno.test("every product finds a tile on every device that a kernel is for", () => {
  for (const [rows, columns, depth] of [[1, 4, 4], [300, 10240, 4096], [8192, 1152, 4608], [1 << 20, 128, 1152]]) {
    const product = { rows, columns, depth, weights: "int4" };
    for (const matrix of [matmul.matrix, conv2d.matrix]) {
      for (const shape of [matrices(16, 32), matrices(8, 32), matrices(8, 8)]) {
        assert.ok(chooseMatrixTile(matrix, shape, limits(32), product), JSON.stringify(product));
      }
      assert.equal(chooseMatrixTile(matrix, matrices(16, 32), limits(1), product), undefined);
    }
    for (const half of [false, true]) {
      const table = matmul[half ? "tile-f16" : "tile"];
      assert.ok(chooseWorkgroupTile(table, half, LEAST, product), JSON.stringify(product));
      assert.equal(chooseWorkgroupTile(table, half, limits(1), product), undefined);
    }
    for (const { wide } of [matmul, conv2d]) assert.ok(chooseTile(wide, product, wideTileExtents));
  }
});

// What runs on the devices that the tables are of; whoever writes new ones looks at what changes here.
Deno.test("the tables choose these tiles at PixArt's shapes", () => {
  const chosen = (rows: number, columns: number, depth: number) => {
    const product = { rows, columns, depth, weights: "f16" };
    const matrix = chooseMatrixTile(matmul.matrix, matrices(16, 32), LARGE, product)!;
    const tiles = [false, true].map((half) =>
      chooseWorkgroupTile(matmul[half ? "tile-f16" : "tile"], half, LARGE, product)!
    );
    return [
      `${matrix.DOWN}x${matrix.ACROSS}`,
      ...tiles.map(({ GROUP_X, GROUP_Y, TILE_K }) => `${GROUP_X}x${GROUP_Y}x${TILE_K}`),
      chooseTile(matmul.wide, product, wideTileExtents)!.TILES,
    ].join(" ");
  };
  const shapes = {
    "1024 px: mlp-up": chosen(8192, 4608, 1152),
    "1024 px: qkv": chosen(8192, 3456, 1152),
    "1024 px: proj": chosen(8192, 1152, 1152),
    "512 px: qkv": chosen(2048, 3456, 1152),
    "256 px: mlp-up": chosen(512, 4608, 1152),
    "256 px: proj": chosen(512, 1152, 1152),
    "T5: up": chosen(300, 10240, 4096),
  };
  assert.deepEqual(shapes, {
    "1024 px: mlp-up": "4x4 16x16x16 8x8x16 4",
    "1024 px: qkv": "4x4 16x16x16 8x8x16 4",
    "1024 px: proj": "3x4 16x16x16 8x8x16 4",
    "512 px: qkv": "4x4 16x16x16 8x8x16 4",
    "256 px: mlp-up": "3x4 16x16x16 8x8x16 4",
    "256 px: proj": "3x4 16x16x16 8x8x16 4",
    "T5: up": "4x4 16x16x16 8x8x16 4",
  });
  const wide = ({ wide }: Pick<typeof matmul, "wide">, rows: number) =>
    chooseTile(wide, { rows, columns: 1152 }, wideTileExtents)!.TILES;
  assert.deepEqual([2, 8, 300].map((rows) => wide(matmul, rows)), [1, 1, 4]);
  assert.deepEqual([1024, 65536].map((outputs) => wide(conv2d, outputs)), [4, 4]);
  const queries = (rows: number) => {
    const product = { rows, columns: 72 };
    return [
      chooseTile(attention.matrix, product, ({ SUBGROUPS }) => ({ rows: 32 * SUBGROUPS, columns: 72 }))!.SUBGROUPS,
      chooseTile(attention.tile, product, ({ GY, FOURS }) => ({ rows: 4 * GY * FOURS, columns: 72 }))!.GY,
    ];
  };
  assert.deepEqual([256, 4096].map(queries), [[4, 16], [4, 16]]);
});

// What the tables say of room is what compilers find.
Deno.test("matmul's tiles compile where they fit, for all types of weights", async () => {
  const shape = matrixShape(device);
  const half = device.features.has("shader-f16");
  const variants = [
    ...matmul.tile.candidates.filter(({ tile }) => workgroupTileFits(tile, false, device.limits))
      .map(({ tile }) => tileMatmul(tile)),
    ...matmul["tile-f16"].candidates.filter(({ tile }) => half && workgroupTileFits(tile, true, device.limits))
      .map(({ tile }) => tileMatmul(tile, true)),
    ...matmul.matrix.candidates.filter(({ tile }) => shape && matrixTileFits(tile, shape, device.limits))
      .map(({ tile }) => matrixMatmul(tile, shape!)),
  ];
  assert.ok(variants.length > 0);
  for (const { kernels, constants } of variants) {
    for (const source of Object.values(kernels)) device.kernel(source, { ...constants, INPUT_SILU: false });
  }
  await device.settle();
});

const run = { device: "a GPU", backend: "deno", date: "2026-01-01", commit: "abc" };

Deno.test("chooseTile() weighs speed against waste and empty places", () => {
  const [large, small] = [128, 64].map((side) => ({ side }));
  const table = {
    candidates: [{ tile: large, atOnce: 200 }, { tile: small, atOnce: 600 }],
    runs: [run],
    // At these extents neither wastes anything.
    classes: [{ rows: 12800, columns: 7680, best: 0, rates: [10, 8], run: 0 }],
  };
  const chosen = (rows: number, columns: number, room = 128) =>
    chooseTile(table, { rows, columns }, ({ side }) => side <= room ? { rows: side, columns: side } : undefined);
  assert.equal(chosen(8192, 4608), large, "many rows");
  assert.equal(chosen(8192, 4608, 64), small, "no room for the large one");
  assert.equal(chosen(8192, 4608, 32), undefined);
  assert.equal(chosen(192, 12800), small, "a quarter of the larger tile's rows would be waste");
  assert.equal(chosen(128 * 201, 128), small, "one workgroup more than there are places would take as long as all");
});

Deno.test("chooseTile() takes what was measured at the nearest product, and the best of it where timing tells no difference", () => {
  const candidates = [8, 16, 32].map((rows) => ({ tile: { rows } }));
  const classes = [
    { rows: 1024, columns: 64, depth: 8, weights: "f16", best: 1, rates: [5, 9, 9.5], run: 0 },
    { rows: 1024, columns: 64, depth: 8, weights: "f32", best: 2, rates: [1, 2, 3], run: 0 },
    { rows: 8, columns: 64, depth: 64, weights: "f16", best: 0, rates: [4, null, 1], run: 0 },
  ];
  const chosen = (rows: number, depth: number, weights: string) =>
    chooseTile({ candidates, runs: [run], classes }, { rows, columns: 64, depth, weights }, ({ rows }) => {
      return { rows, columns: 64 };
    })?.rows;
  assert.equal(chosen(1024, 8, "f16"), 16, "the last is faster by less than timing tells");
  assert.equal(chosen(1024, 8, "f32"), 32);
  assert.equal(chosen(8, 64, "f16"), 8);
  assert.equal(chosen(8, 64, "f32"), 8, "the extents tell more than the type of weights");
  assert.equal(chosen(512, 8, "int8"), 16);
  assert.equal(chosen(16, 64, "f16"), 8, "what was not measured is not chosen");
});

Deno.test("readTileTables() refuses tables that are damaged or have tiles without a kernel, and says where", () => {
  const damaged: [(tables: typeof SHIPPED_TILES) => unknown, RegExp][] = [
    [() => undefined, /matmul, matrix/],
    [() => [], /there must be a table/],
    [({ matmul, attention }) => ({ matmul, attention }), /conv2d, matrix/],
    [(tables) => (tables.matmul.tile.classes = [], tables), /matmul, tile as a table must have/],
    [(tables) => (tables.matmul.tile.candidates[0].tile.GROUP_X = 3, tables), /a form for each.*"GROUP_X":3/],
    [(tables) => (tables.matmul.matrix.candidates[0].tile.ACROSS = 3, tables), /"ACROSS":3/],
    [(tables) => (tables.matmul.matrix.candidates[0].tile.TILE_K = 48, tables), /"TILE_K":48/],
    [(tables) => (tables.attention.tile.candidates[0].tile.FOURS = 0.5, tables), /"FOURS":0.5/],
    [(tables) => (tables.conv2d.wide.candidates[0].tile.TILES = 9, tables), /"TILES":9/],
    [(tables) => (Object.assign(tables.matmul.wide.candidates[0].tile, { MORE: 1 }), tables), /"MORE":1/],
    [(tables) => (tables.matmul.wide.classes[0].best = 99, tables), /a class must have/],
    [(tables) => (tables.matmul.wide.classes[0].run = -1, tables), /a class must have/],
    [(tables) => (tables.matmul.wide.classes[0].rates = [NaN], tables), /a class must have/],
    [(tables) => (tables.matmul.wide.runs[0].device = 1 as unknown as string, tables), /a run must say/],
  ];
  for (const [damage, told] of damaged) {
    assert.throws(() => readTileTables(damage(structuredClone(SHIPPED_TILES))), (error) => {
      return error instanceof ConfigError && told.test(error.message) &&
        error.message.startsWith("Cannot use the tiles");
    }, String(damage));
  }
});

Deno.test("useTiles() decides what a device chooses from then on, and gives the tables of the library back", () => {
  const kind = matmulVariant(device, 64, 64).name;
  const { replays } = device.bindGroups;
  const { candidates } = tableOf(SHIPPED_TILES, "matmul", kind);
  try {
    for (const [index, { tile }] of candidates.entries()) {
      useTiles(device, withOnlyTile(SHIPPED_TILES, "matmul", kind, index));
      const { name, constants } = matmulVariant(device, 64, 64);
      // One that has no room leaves the work to another kernel.
      if (name === kind) assert.deepEqual({ ...constants, ...tile }, constants);
      else assert.match(kind, /matrix|tile/);
    }
  } finally {
    useTiles(device);
  }
  assert.equal(tilesOf(device), SHIPPED_TILES);
  assert.equal(matmulVariant(device, 64, 64).name, kind);
  assert.notEqual(device.bindGroups.replays, replays, "steps are recorded anew");
});

Deno.test("matrixTileExtents() follows the size of the matrices", () => {
  const { tile } = matmul.matrix.candidates[0];
  const { rows, columns } = matrixTileExtents(tile, matrices(8, 32));
  assert.deepEqual(matrixTileExtents(tile, matrices(16, 32)), { rows: 2 * rows, columns: 2 * columns });
});
