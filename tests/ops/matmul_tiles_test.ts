import assert from "node:assert/strict";
import type { DeviceLimits } from "../../src/gpu/device.ts";
import {
  chooseTile,
  HALF_TILES,
  MATRIX_TILES,
  type MatrixShape,
  matrixTileExtents,
  matrixTileFits,
  WORKGROUP_TILES,
  workgroupTileFits,
} from "../../src/ops/matmul_tiles.ts";
import { matrixMatmul, matrixShape, tileMatmul } from "../../src/ops/matmul_variants.ts";
import { device } from "../_device.ts";

const matrices = (size: number, lanes: number): MatrixShape => {
  return { MATRIX_M: size, MATRIX_N: size, MATRIX_K: size, SUBGROUP_SIZE: lanes };
};

const limits = (kibibytes: number): DeviceLimits => {
  return { ...device.limits, maxComputeWorkgroupStorageSize: kibibytes * 1024 };
};

Deno.test("MATRIX_TILES has none that no GPU has room for, and one for small GPUs", () => {
  for (const { tile, speed, atOnce } of MATRIX_TILES) {
    assert.ok(matrixTileFits(tile, matrices(16, 32), limits(48)), JSON.stringify(tile));
    assert.ok(speed > 0 && atOnce > 0);
  }
  assert.ok(MATRIX_TILES.some(({ tile }) => matrixTileFits(tile, matrices(8, 32), limits(32))));
  assert.ok(MATRIX_TILES.some(({ tile }) => matrixTileFits(tile, matrices(8, 8), limits(32))));
  assert.ok(!MATRIX_TILES.some(({ tile }) => matrixTileFits(tile, matrices(16, 32), limits(1))));
});

Deno.test("WORKGROUP_TILES and HALF_TILES have one that every device has room for", () => {
  for (const { tile, speed, atOnce } of [...WORKGROUP_TILES, ...HALF_TILES]) {
    assert.ok(workgroupTileFits(tile, false, { ...limits(48), maxComputeInvocationsPerWorkgroup: 1024 }));
    assert.ok(speed > 0 && atOnce > 0);
  }
  const least = { ...limits(16), maxComputeInvocationsPerWorkgroup: 256 };
  assert.ok(WORKGROUP_TILES.some(({ tile }) => workgroupTileFits(tile, false, least)));
  assert.ok(HALF_TILES.some(({ tile }) => workgroupTileFits(tile, true, least)));
  assert.ok(!WORKGROUP_TILES.some(({ tile }) => workgroupTileFits(tile, false, limits(1))));
});

// What the tables say of room is what compilers find.
Deno.test("matmul's tiles compile where they fit, for all types of weights", async () => {
  const shape = matrixShape(device);
  const variants = [
    ...WORKGROUP_TILES.filter(({ tile }) => workgroupTileFits(tile, false, device.limits))
      .map(({ tile }) => tileMatmul(tile)),
    ...(device.features.has("shader-f16") ? HALF_TILES : []).map(({ tile }) => tileMatmul(tile, true)),
    ...(shape ? MATRIX_TILES.filter(({ tile }) => matrixTileFits(tile, shape, device.limits)) : [])
      .map(({ tile }) => matrixMatmul(tile, shape!)),
  ];
  assert.ok(variants.length > 0);
  for (const { kernels, constants } of variants) {
    for (const source of Object.values(kernels)) device.kernel(source, { ...constants, INPUT_SILU: false });
  }
  await device.settle();
});

Deno.test("chooseTile() weighs speed against waste and empty places", () => {
  const tiles = [
    { rows: 128, columns: 128, speed: 10, atOnce: 200 },
    { rows: 64, columns: 64, speed: 8, atOnce: 600 },
  ];
  assert.equal(chooseTile(tiles, 8192, 4608), 0, "many rows");
  assert.equal(chooseTile(tiles, 192, 12800), 1, "a quarter of the larger tile's rows would be waste");
  assert.equal(
    chooseTile(tiles, 128 * 201, 128),
    1,
    "one workgroup more than there are places would take as long as all",
  );
});

// Which tile was fastest on the GPU that the table is of.
Deno.test("chooseTile() finds what was measured for tensor cores", () => {
  const rated = MATRIX_TILES.map((rated) => ({ ...matrixTileExtents(rated.tile, matrices(16, 32)), ...rated }));
  const chosen = (rows: number, columns: number) => {
    const { DOWN, ACROSS } = rated[chooseTile(rated, rows, columns)].tile;
    return `${DOWN}x${ACROSS}`;
  };
  assert.equal(chosen(8192, 4608), "4x4");
  assert.equal(chosen(8192, 3456), "4x4");
  assert.equal(chosen(8192, 1152), "3x4");
  assert.equal(chosen(512, 4608), "3x4");
  assert.equal(chosen(300, 10240), "4x4");
});

Deno.test("matrixTileExtents() follows the size of the matrices", () => {
  const { tile } = MATRIX_TILES[0];
  const { rows, columns } = matrixTileExtents(tile, matrices(8, 32));
  assert.deepEqual(matrixTileExtents(tile, matrices(16, 32)), { rows: 2 * rows, columns: 2 * columns });
});
