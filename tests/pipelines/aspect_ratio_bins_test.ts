import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { binTableFor, classifyHeightWidthBin, resizeAndCropPlan } from "../../src/pipelines/aspect_ratio_bins.ts";
import {
  ASPECT_RATIO_1024,
  ASPECT_RATIO_2048,
  ASPECT_RATIO_256,
  ASPECT_RATIO_2880,
  ASPECT_RATIO_512,
} from "../../src/pipelines/aspect_ratio_tables.ts";

const tables = [ASPECT_RATIO_256, ASPECT_RATIO_512, ASPECT_RATIO_1024, ASPECT_RATIO_2048, ASPECT_RATIO_2880];
const SIDES = [256, 512, 1024, 2048, 2880];

Deno.test("binTableFor() knows the five sample sizes of the checkpoints and no other", () => {
  assert.deepEqual(SIDES.map((side) => side / 8).map(binTableFor), tables);
  assert.equal(binTableFor(16), undefined);
});

Deno.test("ASPECT_RATIO tables hold rising ratios that their sizes have", () => {
  assert.deepEqual(tables.map((table) => Object.keys(table).length), [33, 33, 33, 40, 40]);
  for (const [index, table] of tables.entries()) {
    const keys = Object.keys(table).map(Number);
    assert.deepEqual(keys, [...keys].sort((a, b) => a - b));
    for (const [key, [height, width]] of Object.entries(table)) {
      assert.ok(Math.abs(height / width / Number(key) - 1) < 0.04, `${key}: ${height} x ${width}`);
      const side = SIDES[index];
      assert.ok(Math.abs(height * width / side ** 2 - 1) < 0.13, `${key}: ${height} x ${width}`);
      // A latent cell is 8 pixels and a patch 2 cells.
      assert.ok(height % 16 === 0 && width % 16 === 0, `${key}: ${height} x ${width}`);
    }
  }
});

Deno.test("classifyHeightWidthBin() keeps a trained size", () => {
  for (const table of tables) {
    const square = table["1.0"];
    assert.deepEqual(classifyHeightWidthBin(...square, table), [...square]);
  }
});

Deno.test("classifyHeightWidthBin() finds the nearest ratio whatever the size", () => {
  assert.deepEqual(classifyHeightWidthBin(1080, 1920, ASPECT_RATIO_1024), [768, 1344]);
  assert.deepEqual(
    classifyHeightWidthBin(9, 16, ASPECT_RATIO_512),
    classifyHeightWidthBin(900, 1600, ASPECT_RATIO_512),
  );
  assert.deepEqual(classifyHeightWidthBin(10000, 100, ASPECT_RATIO_2048), [4096, 1024]);
  assert.deepEqual(classifyHeightWidthBin(100, 10000, ASPECT_RATIO_256), [128, 512]);
});

Deno.test("classifyHeightWidthBin() takes the first in the table when two are equally near", () => {
  assert.deepEqual(classifyHeightWidthBin(3, 2, { "1.0": [1, 1], "2.0": [2, 1] }), [1, 1]);
  assert.deepEqual(classifyHeightWidthBin(3, 2, { "2.0": [2, 1], "1.0": [1, 1] }), [2, 1]);
});

Deno.test("classifyHeightWidthBin() refuses sizes that are none", () => {
  for (const size of [0, -8, 1.5, NaN, Infinity]) {
    assert.throws(() => classifyHeightWidthBin(size, 512, ASPECT_RATIO_512), UsageError);
    assert.throws(() => classifyHeightWidthBin(512, size, ASPECT_RATIO_512), UsageError);
  }
});

Deno.test("resizeAndCropPlan() leaves a picture of the right size alone", () => {
  assert.deepEqual(resizeAndCropPlan(64, 48, 64, 48), { resizedHeight: 64, resizedWidth: 48, top: 0, left: 0 });
});

Deno.test("resizeAndCropPlan() covers the target and crops the centre", () => {
  assert.deepEqual(resizeAndCropPlan(100, 100, 50, 25), { resizedHeight: 50, resizedWidth: 50, top: 0, left: 12 });
  assert.deepEqual(resizeAndCropPlan(768, 1344, 1080, 1920), {
    resizedHeight: 1097,
    resizedWidth: 1920,
    top: 8,
    left: 0,
  });
});

Deno.test("resizeAndCropPlan() never falls short of the target", () => {
  // 416 * (1920 / 416) ends just below 1920.
  assert.ok(416 * (1920 / 416) < 1920);
  for (const table of tables) {
    for (const [height, width] of Object.values(table)) {
      for (const [targetHeight, targetWidth] of [[256, 1920], [1000, 1000], [1080, 720], [333, 77]]) {
        const { resizedHeight, resizedWidth, top, left } = resizeAndCropPlan(height, width, targetHeight, targetWidth);
        assert.ok(top >= 0 && top + targetHeight <= resizedHeight);
        assert.ok(left >= 0 && left + targetWidth <= resizedWidth);
      }
    }
  }
  assert.throws(() => resizeAndCropPlan(0, 1, 1, 1), UsageError);
});
