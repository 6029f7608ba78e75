// What works element by element or row by row: positions of tokens, the rows of a DoRA, sixteen-bit floats as they are loaded.

import { f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import { addPositions } from "../../src/ops/add_positions.ts";
import { dora } from "../../src/ops/dora.ts";
import { widen } from "../../src/ops/widen.ts";
import { disposing, numbers, sample } from "../../src/tune/work.ts";
import type { Case } from "../case.ts";

const C = 1152;

function addPositionsCase(side: number, word: string): Case {
  const count = side * side * C;
  const input = () => numbers(count, 1), table = () => numbers(side * C / 2, 2);
  return {
    op: "add_positions",
    shape: `${side * side}x${C}`,
    dtype: "f32",
    words: [word],
    flops: count,
    bytes: 16 * count, // half of it for the copy that it works in
    tolerance: 1e-6,
    open(device) {
      const x = device.upload(input(), [1, side * side, C]), rows = device.upload(table(), [side, C / 2]);
      return Promise.resolve({
        record(rec) {
          const tokens = rec.tensor(x.shape);
          rec.copy(x, tokens);
          return addPositions(rec, tokens, rows, rows);
        },
        [Symbol.dispose]: disposing(x, rows),
      });
    },
    expected() {
      const x = input(), rows = table();
      return sample(count, (place) => {
        const c = place % C, token = Math.floor(place / C);
        // The first half of the channels knows the column, the second the row.
        const line = c < C / 2 ? token % side : Math.floor(token / side);
        return x[place] + rows[line * C / 2 + c % (C / 2)];
      });
    },
  };
}

/** At the feed-forward weight of PixArt XL. */
function doraCase(own: boolean): Case {
  const [N, K] = [4 * C, C];
  const weight = () => numbers(N * K, 1), direction = () => numbers(N * K, 3), lengths = () => numbers(N, 2);
  return {
    op: "dora",
    shape: `${own ? "own" : "another's"} direction ${N}x${K}`,
    dtype: "f32",
    words: ["lora"],
    flops: 3 * N * K,
    bytes: (own ? 16 : 20) * N * K, // 8 of it for the copy that it works in
    tolerance: 1e-5,
    open(device) {
      const [rows, by] = [weight(), direction()].map((data) => device.upload(data, [N, K]));
      const magnitude = device.upload(lengths(), [N]);
      return Promise.resolve({
        record(rec) {
          const scaled = rec.tensor([N, K]);
          rec.copy(rows, scaled);
          return dora(rec, scaled, magnitude, own ? undefined : by);
        },
        [Symbol.dispose]: disposing(rows, by, magnitude),
      });
    },
    expected() {
      const data = weight(), magnitude = lengths(), by = own ? data : direction();
      return sample(N * K, (place) => {
        const n = Math.floor(place / K);
        return data[place] * magnitude[n] / Math.hypot(...by.subarray(n * K, (n + 1) * K));
      });
    },
  };
}

/** Weights of the feed-forward of PixArt XL as a file has them. */
function widenCase(dtype: "f16" | "bf16"): Case {
  const [N, K] = [4 * C, C];
  const data = () => numbers(N * K, 1);
  return {
    op: "widen",
    shape: `${N}x${K}`,
    dtype,
    words: ["load"],
    flops: N * K,
    bytes: 6 * N * K,
    tolerance: dtype === "f16" ? 1e-3 : 8e-3,
    open(device) {
      const narrow = dtype === "f16" ? f32ToF16 : f32ToBf16;
      const raw = device.upload(new Uint32Array(narrow(data()).buffer), [N * K / 2]);
      return Promise.resolve({
        record: (rec) => widen(rec, raw, dtype, rec.tensor([N, K])),
        [Symbol.dispose]: disposing(raw),
      });
    },
    expected() {
      const values = data();
      return sample(N * K, (place) => values[place]);
    },
  };
}

/** All of them. */
export const elementwiseCases: readonly Case[] = [
  addPositionsCase(32, "512"),
  addPositionsCase(64, "1024"),
  doraCase(true),
  doraCase(false),
  widenCase("f16"),
  widenCase("bf16"),
];
