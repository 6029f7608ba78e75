import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { weighTokens } from "../../src/ops/weigh_tokens.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("weighTokens() moves each token from the empty one by its weight, and leaves weight 1 bit for bit", async () => {
  for (const [B, L, C] of [[2, 8, 64], [3, 5, 7]]) {
    const x = numbers(B * L * C, 1), empty = numbers(L * C, 2);
    const weights = numbers(B * L, 3, 2).map((weight, i) => i % 3 === 0 ? 1 : weight);
    const got = await run((rec) => {
      const embeds = rec.upload(x, [B, L, C]);
      weighTokens(rec, embeds, rec.upload(empty, [1, L, C]), rec.upload(weights, [B, L]));
      return embeds;
    });
    const expected = x.map((value, i) => {
      const from = empty[i % (L * C)];
      return (value - from) * weights[Math.floor(i / C)] + from;
    });
    assertClose(got, expected, 1e-6, `${[B, L, C]}`);
    weights.forEach((weight, token) => {
      const part = (of: Float32Array) => of.subarray(token * C, (token + 1) * C);
      if (weight === 1) assert.deepEqual(part(got), part(x));
    });
  }
});

Deno.test("weighTokens() refuses weights and an empty prompt of other shapes", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([2, 4, 8]), empty = rec.tensor([1, 4, 8]), weights = rec.tensor([2, 4]);
  assert.throws(() => weighTokens(rec, x, rec.tensor([2, 4, 8]), weights), ShapeError);
  assert.throws(() => weighTokens(rec, x, empty, rec.tensor([8])), ShapeError);
  assert.throws(() => weighTokens(rec, x, empty, rec.tensor([2, 4], "u32")), ShapeError);
});
