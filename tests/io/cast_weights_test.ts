import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { asPlainFloats, castWeights } from "../../src/io/cast_weights.ts";
import { quantizeQ8_0 } from "../../src/io/gguf_blocks.ts";
import { f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import { lerpWeights } from "../../src/io/lerp_weights.ts";
import { loraModules, withLora } from "../../src/io/lora_weights.ts";
import { readFloats } from "../../src/io/weights.ts";
import { counting, inMemory } from "../_weights.ts";

const noise = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7) * 3);
const bytes = (view: ArrayBufferView<ArrayBuffer>) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

Deno.test("castWeights() converts any range as it converts the whole", async () => {
  const data = noise(4 * 64);
  using source = await inMemory({
    w: { dtype: "F32", shape: [4, 64], data },
    i: { dtype: "I32", shape: [1], data: Int32Array.of(7) },
  });
  const expected = { F16: bytes(f32ToF16(data)), BF16: bytes(f32ToBf16(data)), Q8_0: quantizeQ8_0(data) };
  for (const [dtype, whole] of Object.entries(expected)) {
    const cast = castWeights(source, (info) => info.dtype === "F32" ? dtype as "F16" | "BF16" | "Q8_0" : info.dtype);
    assert.equal(cast.info("w").byteLength, whole.length);
    assert.deepEqual(await cast.read("w"), whole);
    for (const [start, end] of [[0, 1], [33, 35], [7, 100], [whole.length - 1, whole.length], [5, 5]]) {
      assert.deepEqual(await cast.read("w", start, end), whole.slice(start, end), `${dtype} ${start} to ${end}`);
    }
    assert.equal(cast.info("i").dtype, "I32");
    const back = asPlainFloats(cast);
    assert.equal(back.info("w").dtype, dtype === "Q8_0" ? "F32" : dtype);
    const floats = await readFloats(back, "w");
    assert.ok(floats.every((value, i) => Math.abs(value - data[i]) < 0.03));
  }
});

Deno.test("castWeights() refuses numbers and rows that the dtype does not have", async () => {
  using source = await inMemory({
    large: { dtype: "F32", shape: [2], data: Float32Array.of(1, 1e5) },
    infinite: { dtype: "F32", shape: [1], data: Float32Array.of(Infinity) },
    narrow: counting([2, 24]),
    whole: { dtype: "I64", shape: [1], data: BigInt64Array.of(1n) },
  });
  const halves = castWeights(source, () => "F16");
  await assert.rejects(halves.read("large"), /Cannot store "large".*65504: it holds 100000; bf16/);
  assert.deepEqual([...await readFloats(halves, "infinite")], [Infinity]);
  assert.throws(() => castWeights(source, () => "Q8_0").info("narrow"), WeightsError);
  assert.throws(() => halves.info("whole"), /I64.*as F16/);
});

Deno.test("lerpWeights() mixes from the nearer end, at any range", async () => {
  const [a, b] = [noise(40), noise(80).slice(40)];
  const one = (data: Float32Array<ArrayBuffer>) => inMemory({ w: { dtype: "F32", shape: [40], data } });
  for (const ratio of [0, 0.25, 0.5, 0.75, 1]) {
    using mixed = lerpWeights(await one(a), await one(b), ratio);
    const values = await readFloats(mixed, "w");
    values.forEach((value, i) => assert.ok(Math.abs(value - (a[i] + ratio * (b[i] - a[i]))) < 1e-6));
    if (ratio === 0) assert.deepEqual(values, a);
    if (ratio === 1) assert.deepEqual(values, b);
    assert.deepEqual(await mixed.read("w", 5, 14), bytes(values).slice(5, 14));
  }
});

Deno.test("lerpWeights() refuses checkpoints of other names or shapes", async () => {
  const [a, b, c] = [
    await inMemory({ w: counting([2]) }),
    await inMemory({ w: counting([3]) }),
    await inMemory({ v: counting([2]) }),
  ];
  assert.throws(() => lerpWeights(a, b, 0.5), /same names and shapes: of "w", "w" F32 \[2\] and "w" F32 \[3\]/);
  assert.throws(() => lerpWeights(a, c, 0.5), /it is missing/);
});

Deno.test("withLora() adds up times down, and sets the lengths of a DoRA's rows", async () => {
  const [rows, width, rank] = [3, 8, 2];
  const w = noise(rows * width),
    down = noise(rank * width),
    up = noise(rows * rank),
    magnitude = Float32Array.of(1, 2, 3);
  using source = await inMemory({
    "a.weight": { dtype: "F32", shape: [rows, 2, 2, 2], data: w },
    "b.bias": counting([1]),
  });
  assert.deepEqual(loraModules(source), [{ name: "a", shape: [rows, 2, 2, 2] }]);
  const expected = (scale: number) =>
    w.map((value, i) => {
      const [n, k] = [Math.floor(i / width), i % width];
      for (let r = 0; r < rank; r++) value += scale * 0.5 * up[n * rank + r] * down[r * width + k];
      return value;
    });
  const file = (update: object) => ({
    name: "lora",
    ignored: [],
    updates: new Map([["a", { rank, scaling: 0.5, down, up, ...update }]]),
  });
  const fused = withLora(source, file({}), 0.7);
  const values = await readFloats(fused, "a.weight");
  expected(0.7).forEach((value, i) => assert.ok(Math.abs(value - values[i]) < 1e-5));
  assert.deepEqual(await fused.read("a.weight", 30, 67), bytes(values).slice(30, 67));
  assert.deepEqual([...await readFloats(fused, "b.bias")], [0]);
  const dora = await readFloats(withLora(source, file({ magnitude }), 1), "a.weight");
  for (let n = 0; n < rows; n++) {
    assert.ok(Math.abs(Math.hypot(...dora.subarray(n * width, (n + 1) * width)) - magnitude[n]) < 1e-5);
  }
});
