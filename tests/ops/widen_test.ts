import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import { widen } from "../../src/ops/widen.ts";
import { device, run } from "../_device.ts";
import { numbers } from "../_reference.ts";

/** Two sixteen-bit patterns to a word. */
function words(bits: Uint16Array): Uint32Array {
  const out = new Uint32Array(Math.ceil(bits.length / 2));
  bits.forEach((pattern, i) => out[i >> 1] |= pattern << (i % 2 * 16));
  return out;
}

Deno.test("widen() gives every float of sixteen bits its value", async () => {
  for (const [from, narrow, exact] of [["f16", f32ToF16, f16ToF32], ["bf16", f32ToBf16, bf16ToF32]] as const) {
    for (const count of [4096, 5001, 77, 1]) {
      const bits = narrow(numbers(count, count, 100));
      const actual = await run((rec) => {
        const raw = words(bits);
        return widen(rec, rec.upload(raw, [raw.length]), from, rec.tensor([count]));
      });
      assert.deepEqual(actual, exact(bits), `${count} ${from}`);
    }
  }
});

Deno.test("widen() refuses too few words and other types", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const raw = rec.tensor([4], "u32");
  widen(rec, raw, "f16", rec.tensor([8]));
  assert.throws(() => widen(rec, raw, "f16", rec.tensor([9])), ShapeError);
  assert.throws(() => widen(rec, rec.tensor([8]), "f16", rec.tensor([8])), ShapeError);
  assert.throws(() => widen(rec, raw, "f16", rec.tensor([8], "u32")), ShapeError);
});
