// dora at the feed-forward weight of PixArt XL: every row read twice and written once.

import { dora } from "../src/ops/dora.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

const [N, K] = [4608, 1152];
const data = numbers(N * K), lengths = numbers(N, 2);
const magnitude = device.upload(lengths, [N]);
const direction = device.upload(data, [N, K]);

for (const [name, by] of [["own direction", undefined], ["another's direction", direction]] as const) {
  const rows = device.upload(data, [N, K]);
  benchOp({
    op: "dora",
    shape: `${N}x${K}`,
    dtype: "f32",
    name,
    baseline: by === undefined,
    bytes: 3 * 4 * N * K,
    repetitions: 4,
    // In place: a view, since what is recorded is disposed after each run.
    record: (rec) => dora(rec, rows, magnitude, by).view([N, K]),
    check: (result) => {
      const places = Array.from({ length: 50 }, (_, i) => [(i * 37) % N, (i * 101) % K]);
      const expected = places.map(([n, k]) =>
        data[n * K + k] * lengths[n] / Math.hypot(...data.subarray(n * K, (n + 1) * K))
      );
      assertClose(places.map(([n, k]) => result[n * K + k]), expected, 1e-5);
    },
  });
}
