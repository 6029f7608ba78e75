// decodeTiled() against the same cut and blend on the CPU, with a decoder that is easy to compute: nearest upsampling and a term
// that depends on the place in the tile, so that tiles disagree where they overlap.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { decodeTiled, defaultTiling, type Tiling } from "../../src/vae/tiling.ts";
import { device } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

/** An image of one sample as [channel][row][column]. */
type Planes = number[][][];

/** What the toy decoder adds at a place of a tile; it differs along both axes and between channels. */
const term = (channel: number, y: number, x: number) => (5 * channel + 7 * y + 11 * x + y * x) % 13 / 13;

function decodePlanes(tile: Planes, scale: number): Planes {
  return tile.map((plane, c) =>
    Array.from({ length: plane.length * scale }, (_, y) =>
      Array.from(
        { length: plane[0].length * scale },
        (_, x) => plane[Math.floor(y / scale)][Math.floor(x / scale)] + term(c, y, x),
      ))
  );
}

/** diffusers' rule: blend every tile with the blended ones above and to the left, crop, then join. */
function decodeTiledPlanes(latents: Planes, tiling: Tiling, scale: number): Planes {
  const { tileLatentMinSize: size, tileSampleMinSize: sampleSize, tileOverlapFactor: overlap } = tiling;
  const step = Math.trunc(size * (1 - overlap)), fade = Math.trunc(sampleSize * overlap), limit = sampleSize - fade;
  const result: Planes = latents.map(() => []);
  let above: Planes[] = [];
  for (let top = 0; top < latents[0].length; top += step) {
    const row: Planes[] = [];
    for (let left = 0; left < latents[0][0].length; left += step) {
      const cut = latents.map((plane) => plane.slice(top, top + size).map((line) => line.slice(left, left + size)));
      const tile = decodePlanes(cut, scale);
      tile.forEach((plane, c) => {
        const over = above[row.length]?.[c], beside = row.at(-1)?.[c];
        const down = over ? Math.min(over.length, plane.length, fade) : 0;
        for (let y = 0; y < down; y++) {
          const from = over![over!.length - down + y];
          plane[y] = plane[y].map((value, x) => from[x] * (1 - y / down) + value * (y / down));
        }
        const across = beside ? Math.min(beside[0].length, plane[0].length, fade) : 0;
        plane.forEach((line, y) => {
          for (let x = 0; x < across; x++) {
            const from = beside![y];
            line[x] = from[from.length - across + x] * (1 - x / across) + line[x] * (x / across);
          }
        });
      });
      row.push(tile);
    }
    result.forEach((plane, c) => {
      for (let y = 0; y < Math.min(row[0][c].length, limit); y++) {
        plane.push(row.flatMap((tile) => tile[c][y].slice(0, limit)));
      }
    });
    above = row;
  }
  return result;
}

const TOY_DECODER = {
  name: "toy_decoder",
  source: `
struct Params { total: u32, height: u32, width: u32, channels: u32, scale: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i >= p.total) { return; }
  let c = i % p.channels;
  let pixel = i / p.channels;
  let column = pixel % (p.width * p.scale);
  let line = pixel / (p.width * p.scale);
  let row = line % (p.height * p.scale);
  let term = f32((5u * c + 7u * row + 11u * column + row * column) % 13u) / 13.0;
  y[i] = x[(line / p.scale * p.width + column / p.scale) * p.channels + c] + term;
}`,
};

/** The toy decoder on the GPU; frees its argument as the real one does, and notes the shapes it was asked for. */
function toyDecoder(rec: Recorder, scale: number, asked: number[][] = []) {
  return (tile: Tensor): Tensor => {
    asked.push([...tile.shape]);
    const [batch, height, width, channels] = tile.shape;
    const y = rec.tensor([batch, height * scale, width * scale, channels]);
    rec.dispatch(rec.device.kernel(TOY_DECODER), {
      bindings: [tile, y],
      params: { total: y.size, height, width, channels, scale },
      groups: [Math.ceil(y.size / 64)],
    });
    tile.dispose();
    return y;
  };
}

/** One sample of [B, H, W, C] as planes. */
function planesOf(values: Float32Array, [, height, width, channels]: number[], sample: number): Planes {
  const at = (c: number, y: number, x: number) => values[((sample * height + y) * width + x) * channels + c];
  return Array.from(
    { length: channels },
    (_, c) => Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => at(c, y, x))),
  );
}

const CASES: { shape: number[]; scale: number; tiling: Tiling; tiles: number }[] = [
  { shape: [2, 8, 12, 3], scale: 8, tiling: defaultTiling(32, 8), tiles: 12 }, // the last tiles lie inside others
  { shape: [1, 10, 10, 3], scale: 4, tiling: defaultTiling(16, 4), tiles: 16 },
  { shape: [1, 13, 6, 2], scale: 2, tiling: defaultTiling(16, 2), tiles: 3 },
  { shape: [1, 3, 3, 3], scale: 8, tiling: defaultTiling(32, 8), tiles: 1 },
  {
    shape: [1, 9, 11, 1],
    scale: 4,
    tiling: { tileSampleMinSize: 20, tileLatentMinSize: 5, tileOverlapFactor: 0.4 },
    tiles: 12,
  },
  {
    shape: [1, 7, 7, 3],
    scale: 2,
    tiling: { tileSampleMinSize: 8, tileLatentMinSize: 4, tileOverlapFactor: 0 },
    tiles: 4,
  },
  {
    shape: [1, 8, 5, 3],
    scale: 2,
    tiling: { tileSampleMinSize: 8, tileLatentMinSize: 4, tileOverlapFactor: 0.75 },
    tiles: 40,
  },
];

Deno.test("decodeTiled() cuts, blends and joins as diffusers does", async () => {
  for (const { shape, scale, tiling, tiles } of CASES) {
    const latents = numbers(shape.reduce((a, b) => a * b), 1);
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const asked: number[][] = [];
    const image = decodeTiled(rec, rec.upload(latents, shape), tiling, toyDecoder(rec, scale, asked));
    rec.submit();
    assert.equal(asked.length, tiles, `tiles of [${shape}]`);
    assert.deepEqual(image.shape, [shape[0], shape[1] * scale, shape[2] * scale, shape[3]]);
    const actual = await read(device, image);
    for (let sample = 0; sample < shape[0]; sample++) {
      const expected = decodeTiledPlanes(planesOf(latents, shape, sample), tiling, scale);
      const channelsLast = expected[0].flatMap((line, y) =>
        line.flatMap((_, x) => expected.map((plane) => plane[y][x]))
      );
      const count = channelsLast.length;
      assertClose(actual.subarray(sample * count, (sample + 1) * count), channelsLast, 1e-6, `[${shape}]`);
    }
  }
});

Deno.test("decodeTiled() holds one row of tiles and the canvas", async () => {
  // 12 rows of 3 tiles: memory must not grow with the rows.
  const scale = 4, tiling = defaultTiling(64, scale), shape = [1, 144, 36, 3];
  const tileBytes = 64 * 64 * 3 * 4, canvasBytes = 144 * 36 * scale ** 2 * 3 * 4;
  device.arena.trim();
  const before = device.ledger.bytes;
  device.ledger.resetPeak();
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const image = decodeTiled(rec, rec.tensor(shape), tiling, toyDecoder(rec, scale));
  rec.submit();
  await device.settle();
  const latentBytes = 2 * 144 * 36 * 3 * 4; // the latents and the cut tiles, and as much again for rounding
  assert.ok(image.bytes === canvasBytes);
  assert.ok(
    device.ledger.peak - before <= 1.25 * (canvasBytes + 5 * tileBytes + latentBytes),
    `${device.ledger.peak - before} bytes at most`,
  );
});

Deno.test("decodeTiled() refuses tiles that do not advance", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const latents = rec.tensor([1, 4, 4, 3]);
  for (const tiling of [{ ...defaultTiling(32, 8), tileOverlapFactor: 0.9 }, defaultTiling(4, 8)]) {
    assert.throws(() => decodeTiled(rec, latents, tiling, (tile) => tile), UsageError);
  }
});
