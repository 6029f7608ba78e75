import { packHeads } from "../../src/ops/attention_pack.ts";
import { run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("packHeads() cuts heads out of rows, with zeros behind, and keeps numbers beyond halves finite", async () => {
  const [batch, heads, headWidth, tokens] = [2, 3, 12, 5], [padded, depth] = [7, 16];
  const stride = 2 * heads * headWidth + 4, offset = 4 + heads * headWidth;
  const x = numbers(batch * tokens * stride + 4, 1, 3);
  [x[offset], x[offset + 1]] = [1e6, -1e6];
  const actual = await run((rec) =>
    packHeads(rec, { tensor: rec.upload(x, [x.length]), stride, offset }, {
      ...{ batch, heads, headWidth, tokens, padded, depth },
    })
  );
  const expected = new Float32Array(batch * heads * padded * depth);
  for (let row = 0; row < batch * heads * tokens; row++) {
    const token = row % tokens, head = Math.floor(row / tokens) % heads, sample = Math.floor(row / tokens / heads);
    for (let d = 0; d < headWidth; d++) {
      const value = x[offset + (sample * tokens + token) * stride + head * headWidth + d];
      const half = Math.max(-65504, Math.min(65504, value));
      expected[((sample * heads + head) * padded + token) * depth + d] = half;
    }
  }
  assertClose(
    actual.map((value, i) => i < 2 ? value / 65504 : value),
    expected.map((v, i) => i < 2 ? v / 65504 : v),
    1e-3,
  );
});
