import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { blendTile, crop } from "../../src/ops/tile.ts";
import { device, run } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { assertClose, numbers } from "../_reference.ts";

/** The place of an element of [B, H, W, C]. */
const at = ([, h, w, c]: readonly number[], b: number, y: number, x: number, k: number) =>
  ((b * h + y) * w + x) * c + k;

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b);

/** Calls `visit` with every index of [B, H, W, C]. */
function each([batch, height, width, channels]: number[], visit: (b: number, y: number, x: number, k: number) => void) {
  for (let b = 0; b < batch; b++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let k = 0; k < channels; k++) visit(b, y, x, k);
      }
    }
  }
}

Deno.test("crop() cuts a window", async () => {
  for (
    const [shape, top, left, height, width] of [
      [[2, 16, 16, 4], 4, 8, 8, 8],
      [[2, 7, 9, 3], 2, 3, 5, 6],
      [[1, 7, 9, 3], 0, 0, 7, 9],
      [[3, 5, 4, 1], 4, 3, 1, 1],
    ] as [number[], number, number, number, number][]
  ) {
    const x = numbers(size(shape), 1), expected: number[] = [];
    each([shape[0], height, width, shape[3]], (b, y, column, k) => {
      expected.push(x[at(shape, b, top + y, left + column, k)]);
    });
    const actual = await run((rec) => crop(rec, rec.upload(x, shape), { top, left, height, width }));
    assert.deepEqual([...actual], expected, `[${shape}]`);
  }
});

Deno.test("crop() binds only rows of the window where a binding cannot hold the image", async () => {
  const shape = [3, 40, 16, 1], window = { top: 9, left: 2, height: 6, width: 4 };
  const x = numbers(size(shape), 1);
  const work = (rec: Recorder) => crop(rec, rec.upload(x, shape), window);
  // A binding begins on every fourth row; a sample has 2560 bytes.
  assert.deepEqual(await runLimited(9 * 16 * 4, work), await run(work));
});

Deno.test("blendTile() fades in over its neighbours and fills its place on the canvas", async () => {
  for (
    const { shape, aboveHeight, leftWidth, fade, kept } of [
      { shape: [2, 8, 8, 3], aboveHeight: 8, leftWidth: 8, fade: 2, kept: [6, 6] },
      { shape: [1, 3, 5, 4], aboveHeight: 9, leftWidth: 7, fade: 4, kept: [3, 4] },
      { shape: [2, 6, 4, 1], aboveHeight: 2, leftWidth: undefined, fade: 3, kept: [5, 4] },
      { shape: [1, 4, 6, 3], aboveHeight: undefined, leftWidth: 1, fade: 3, kept: [4, 4] },
      { shape: [1, 4, 6, 3], aboveHeight: undefined, leftWidth: undefined, fade: 3, kept: [2, 5] },
    ]
  ) {
    const [batch, height, width, channels] = shape;
    const aboveShape = aboveHeight && [batch, aboveHeight, width, channels];
    const leftShape = leftWidth && [batch, height, leftWidth, channels];
    const canvasShape = [batch, height + 5, width + 4, channels], place = { top: 3, left: 2 };
    const tile = numbers(size(shape), 1), canvas = numbers(size(canvasShape), 2);
    const above = aboveShape && numbers(size(aboveShape), 3), left = leftShape && numbers(size(leftShape), 4);
    const mixed = Float64Array.from(tile);
    const down = Math.min(fade, aboveHeight ?? 0, height), across = Math.min(fade, leftWidth ?? 0, width);
    each(shape, (b, y, x, k) => {
      const i = at(shape, b, y, x, k);
      if (above && aboveShape && y < down) {
        mixed[i] = above[at(aboveShape, b, aboveHeight - down + y, x, k)] * (1 - y / down) + mixed[i] * y / down;
      }
      if (left && leftShape && x < across) {
        mixed[i] = left[at(leftShape, b, y, leftWidth - across + x, k)] * (1 - x / across) + mixed[i] * x / across;
      }
    });
    const painted = Float64Array.from(canvas);
    each([batch, kept[0], kept[1], channels], (b, y, x, k) => {
      painted[at(canvasShape, b, place.top + y, place.left + x, k)] = mixed[at(shape, b, y, x, k)];
    });

    const rec = new Recorder(device);
    using _scope = rec.scope();
    const onGpu = [rec.upload(tile, shape), rec.upload(canvas, canvasShape)];
    blendTile(rec, onGpu[1], onGpu[0], {
      above: above && aboveShape ? rec.upload(above, aboveShape) : undefined,
      left: left && leftShape ? rec.upload(left, leftShape) : undefined,
      fade,
      place: { ...place, height: kept[0], width: kept[1] },
    });
    rec.submit();
    const [blended, filled] = await readAll(device, onGpu);
    assertClose(blended, mixed, 1e-6, `tile [${shape}]`);
    assertClose(filled, painted, 1e-6, `canvas [${canvasShape}]`);
  }
});

Deno.test("crop() and blendTile() refuse windows outside and tiles that are no neighbours", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const tile = rec.tensor([1, 4, 6, 3]), canvas = rec.tensor([1, 8, 8, 3]);
  const place = { top: 4, left: 2, height: 4, width: 6 };
  assert.throws(() => crop(rec, tile, place), /f32\[1, 4, 6, 3\].*4 by 6 from 4, 2 on/);
  assert.throws(() => crop(rec, tile, { top: 0, left: 0.5, height: 1, width: 1 }), ShapeError);
  blendTile(rec, canvas, tile, { fade: 2, place });
  assert.throws(() => blendTile(rec, canvas, tile, { fade: 2, place: { ...place, top: 5 } }), /onto f32\[1, 8, 8, 3\]/);
  assert.throws(() => blendTile(rec, canvas, tile, { fade: 2, place, above: canvas }), /above.*f32\[1, 8, 8, 3\]/);
  assert.throws(() => blendTile(rec, canvas, tile, { fade: 2, place, left: canvas }), /left.*f32\[1, 8, 8, 3\]/);
  assert.throws(() => blendTile(rec, canvas, tile, { fade: -1, place }), ShapeError);
  assert.throws(() => blendTile(rec, rec.tensor([2, 8, 8, 3]), tile, { fade: 2, place }), ShapeError);
});
