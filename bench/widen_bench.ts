// widen at the feed-forward weight of PixArt XL, from both kinds of sixteen-bit floats.

import { f32ToBf16, f32ToF16 } from "../src/io/half.ts";
import { widen } from "../src/ops/widen.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

const [N, K] = [4608, 1152];
const data = numbers(N * K);

for (const [dtype, narrow] of [["f16", f32ToF16], ["bf16", f32ToBf16]] as const) {
  const raw = device.upload(new Uint32Array(narrow(data).buffer), [N * K / 2]);
  benchOp({
    op: "widen",
    shape: `${N}x${K}`,
    dtype,
    name: "portable",
    baseline: true,
    bytes: 6 * N * K,
    repetitions: 4,
    record: (rec) => widen(rec, raw, dtype, rec.tensor([N, K])),
    check: (result) => assertClose(result.subarray(0, 1000), data.subarray(0, 1000), 8e-3),
  });
}
