import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { BLOCK_OF, dequantizeBlocks, type QuantType } from "../../src/io/gguf_blocks.ts";
import { BlockWeight, FORMAT_OF } from "../../src/ops/block_weight.ts";
import { packBlocks } from "../../src/ops/pack_blocks.ts";
import { widenBlocks } from "../../src/ops/widen_blocks.ts";
import { device } from "../_device.ts";
import { assertClose } from "../_reference.ts";
import { randomBlocks, SCALES_AT, unpack } from "./_block_weight.ts";

const KINDS = Object.keys(BLOCK_OF) as QuantType[];

/** Blocks of any bits, with scales of both signs from denormal to large. */
const blocks = (kind: QuantType, count: number) =>
  randomBlocks(kind, count, 3, (block, i) => (block % 2 ? -1 : 1) * 1.7 * 4 ** ((block * 3 + i) % 14 - 12));

function words(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(Math.ceil(bytes.length / 4));
  new Uint8Array(out.buffer).set(bytes);
  return out;
}

Deno.test("widenBlocks() decodes every kind of block as ggml's reference does, bit for bit", async () => {
  for (const kind of KINDS) {
    const bytes = blocks(kind, 70), expected = dequantizeBlocks(kind, bytes);
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const raw = rec.upload(words(bytes), [Math.ceil(bytes.length / 4)]);
    const wide = widenBlocks(rec, raw, kind, rec.tensor([expected.length]));
    rec.submit();
    const [actual] = await readAll(device, [wide]);
    actual.forEach((value, i) => assert.ok(value === expected[i], `${kind} [${i}] ${value} is ${expected[i]}`));
  }
});

Deno.test("packBlocks() moves every kind of block to columns, in slices of rows and with ragged ones", async () => {
  for (const kind of KINDS) {
    const { elements, bytes: blockBytes } = BLOCK_OF[kind];
    const depth = elements * 3, rowBytes = 3 * blockBytes;
    for (const [rows, step] of [[8, 8], [13, 4], [1, 1]]) {
      const bytes = blocks(kind, rows * 3), expected = dequantizeBlocks(kind, bytes);
      const columns = Math.ceil(rows / 4) * 4;
      using out = new BlockWeight(device, [depth, columns], FORMAT_OF[kind]);
      device.write(out.values, new Uint32Array(out.values.size).fill(0x12345678));
      const rec = new Recorder(device);
      using _scope = rec.scope();
      const flags = rec.upload(new Uint32Array(2), [2]);
      for (let row = 0; row < rows; row += step) {
        const slice = words(bytes.slice(row * rowBytes, Math.min(row + step, rows) * rowBytes));
        const raw = rec.upload(slice, [slice.length]);
        const check = { flags, index: 1 };
        packBlocks(rec, raw, { kind, rows: Math.min(step, rows - row), out, columnOffset: row, check });
      }
      rec.submit();
      const { numbers: actual } = await unpack(device, out);
      const turned = new Float64Array(depth * columns);
      expected.forEach((value, i) => turned[(i % depth) * columns + Math.floor(i / depth)] = value);
      const what = `${kind} [${rows}, ${depth}]`;
      if (elements === 32) actual.forEach((value, i) => assert.ok(Math.fround(value) === turned[i], what)); // nothing to round
      // Scales of a half's smallest numbers keep few bits; next to the largest numbers they are nothing.
      else assertClose(actual, turned, 2e-3, what);
      assert.deepEqual(Array.from((await readAll(device, [flags]))[0]), [0, 0], what);
    }
  }
});

Deno.test("packBlocks() notes scales that are not finite", async () => {
  for (const kind of KINDS) {
    const { elements, bytes: blockBytes } = BLOCK_OF[kind];
    for (const at of SCALES_AT[kind]) {
      const bytes = blocks(kind, 8);
      // All ones, so that no scale of scales is zero; the bits of a half that is not a number.
      bytes.fill(0x55, 5 * blockBytes, 6 * blockBytes);
      new DataView(bytes.buffer).setUint16(5 * blockBytes + at, 0x7e00, true);
      using out = new BlockWeight(device, [elements, 8], FORMAT_OF[kind]);
      const rec = new Recorder(device);
      using _scope = rec.scope();
      const flags = rec.upload(new Uint32Array(2), [2]);
      const raw = rec.upload(words(bytes), [Math.ceil(bytes.length / 4)]);
      packBlocks(rec, raw, { kind, rows: 8, out, check: { flags, index: 0 } });
      rec.submit();
      assert.deepEqual(Array.from((await readAll(device, [flags]))[0]), [1, 0], `${kind} ${at}`);
    }
  }
});

Deno.test("packBlocks() and widenBlocks() refuse what does not fit", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  using out = new BlockWeight(device, [32, 8], FORMAT_OF.Q4_0);
  const raw = rec.tensor([36], "u32");
  const options = { kind: "Q4_0" as const, rows: 8, out };
  packBlocks(rec, raw, options);
  for (const wrong of [{ rows: 9 }, { kind: "Q8_0" as const }, { columnOffset: 4 }, { kind: "Q4_K" as const }]) {
    assert.throws(() => packBlocks(rec, raw, { ...options, ...wrong }), ShapeError);
  }
  widenBlocks(rec, raw, "Q4_0", rec.tensor([8, 32]));
  assert.throws(() => widenBlocks(rec, raw, "Q4_0", rec.tensor([8, 33])), ShapeError);
  assert.throws(() => widenBlocks(rec, raw, "Q8_0", rec.tensor([8, 32])), ShapeError);
});
