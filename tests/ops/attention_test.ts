import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import { attention, type AttentionOptions, attentionOver } from "../../src/ops/attention.ts";
import { packHeads } from "../../src/ops/attention_pack.ts";
import { attentionByRows } from "../../src/ops/attention_rows.ts";
import { device, run } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { assertClose, numbers as anyNumbers, relativeL2 } from "../_reference.ts";
import { type Candidate, CANDIDATES } from "./_attention_variants.ts";

type Extents = Pick<AttentionOptions, "batch" | "heads" | "headWidth" | "queries" | "keys" | "scale">;

const LOWEST = -3.4028234663852886e38;

/** Numbers that halves hold exactly, so that kernels which read halves lose nothing by that. */
const numbers = (count: number, seed: number, scale = 1) =>
  anyNumbers(count, seed, scale).map((value) => Math.round(value * 32) / 32);

// Attention as it is defined, in doubles; but sums of scores and mask are rounded to f32, where the lowest float swallows a score.
function reference(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  { batch, heads, headWidth, queries, keys, scale }: Extents,
  mask?: Float32Array,
  bias?: Float32Array,
): Float64Array {
  const C = heads * headWidth, y = new Float64Array(batch * queries * C);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const q_at = (b * queries + i) * C + h * headWidth;
        const scores = Array.from({ length: keys }, (_, j) => {
          let score = 0;
          for (let d = 0; d < headWidth; d++) score += q[q_at + d] * k[(b * keys + j) * C + h * headWidth + d];
          score = score * scale + (bias ? bias[h * (queries + keys - 1) + j - i + queries - 1] : 0);
          return mask ? Math.fround(score + mask[b * keys + j]) : score;
        });
        const highest = scores.reduce((a, b) => Math.max(a, b));
        const weights = scores.map((score) => Math.exp(score - highest));
        const total = weights.reduce((a, b) => a + b);
        for (let d = 0; d < headWidth; d++) {
          let sum = 0;
          for (let j = 0; j < keys; j++) sum += weights[j] * v[(b * keys + j) * C + h * headWidth + d];
          y[q_at + d] = sum / total;
        }
      }
    }
  }
  return y;
}

const dense = (rec: Recorder, data: Float32Array, width: number) => {
  const tensor = rec.upload(data, [data.length / width, width]);
  return { tensor, stride: width, offset: 0 };
};

async function compare(
  extents: Extents,
  { variant, rounding }: Candidate,
  { mask, bias, tolerance = 2e-6 }: { mask?: Float32Array; bias?: Float32Array; tolerance?: number } = {},
) {
  const { batch, heads, headWidth, queries, keys } = extents, C = heads * headWidth;
  const q = numbers(batch * queries * C, 1, 3), k = numbers(batch * keys * C, 2, 3), v = numbers(batch * keys * C, 3);
  const actual = await run((rec) =>
    attention(rec, dense(rec, q, C), dense(rec, k, C), dense(rec, v, C), {
      ...extents,
      variant: variant(headWidth),
      mask: mask && rec.upload(mask, [batch, keys]),
      relativeBias: bias && rec.upload(bias, [heads, queries + keys - 1]),
    })
  );
  const expected = reference(q, k, v, extents, mask, bias);
  const what = JSON.stringify(extents);
  const allowed = tolerance + rounding;
  assertClose(actual, expected, 3 * allowed, what);
  assert.ok(relativeL2(actual, expected) < allowed, `${what}: relative L2 ${relativeL2(actual, expected)}`);
}

/** Runs a test with every kernel; all take heads of 24. */
function forVariants(name: string, test: (candidate: Candidate) => Promise<void>): void {
  Deno.test(`attention() ${name}`, async (t) => {
    for (const candidate of CANDIDATES) await t.step(candidate.name, () => test(candidate));
  });
}

forVariants("matches the reference for all widths of heads", async (candidate) => {
  for (const headWidth of candidate.widths) {
    await compare({ batch: 2, heads: 2, headWidth, queries: 33, keys: 21, scale: headWidth ** -0.5 }, candidate);
  }
});

forVariants("is precise over 300 keys", async (candidate) => {
  const extents = { batch: 1, heads: 3, headWidth: 24, queries: 300, keys: 300, scale: 24 ** -0.5 };
  await compare(extents, candidate);
});

forVariants("handles any number of queries and keys", async (candidate) => {
  for (const [queries, keys] of [[1, 1], [1, 9], [70, 3], [64, 64], [17, 130]]) {
    await compare({ batch: 1, heads: 2, headWidth: 24, queries, keys, scale: 0.2 }, candidate);
  }
});

forVariants("adds a mask, and is a plain softmax when all keys are masked", async (candidate) => {
  const [batch, keys] = [3, 19];
  for (const hidden of [-10000, LOWEST]) {
    // The first sample sees some keys, the second one, the last none.
    const mask = Float32Array.from({ length: batch * keys }, (_, i) => {
      const sample = Math.floor(i / keys);
      return (sample === 0 && i % 3 > 0) || (sample === 1 && i % keys === 17) ? 0 : hidden;
    });
    // Next to -10000 an f32 score keeps three decimals, so the last sample is only as exact as those.
    const tolerance = hidden === LOWEST ? 2e-6 : 1e-3;
    await compare({ batch, heads: 2, headWidth: 24, queries: 20, keys, scale: 0.1 }, candidate, { mask, tolerance });
  }
});

forVariants("adds a relative bias", async (candidate) => {
  for (const [queries, keys] of [[30, 30], [5, 41], [41, 5]]) {
    const bias = numbers(2 * (queries + keys - 1), 4, 4);
    const mask = Float32Array.from({ length: keys * 2 }, (_, i) => i % keys < keys - 2 ? 0 : LOWEST);
    await compare({ batch: 2, heads: 2, headWidth: 24, queries, keys, scale: 0.125 }, candidate, { mask, bias });
  }
});

forVariants("stays exact for large scores that rise from key to key", async ({ variant, rounding }) => {
  const [C, keys] = [24, 50];
  const k = numbers(keys * C, 2).map((value, i) => value + Math.floor(i / C)),
    q = numbers(C, 1, 3),
    v = numbers(keys * C, 3);
  const extents = { batch: 1, heads: 1, headWidth: C, queries: 1, keys, scale: 1 };
  const actual = await run((rec) =>
    attention(rec, dense(rec, q, C), dense(rec, k, C), dense(rec, v, C), { ...extents, variant: variant(C) })
  );
  assertClose(actual, reference(q, k, v, extents), 2e-5 + 3 * rounding);
});

forVariants("reads q, k and v side by side", async ({ variant, rounding }) => {
  const [batch, heads, headWidth, tokens] = [2, 3, 24, 13], C = heads * headWidth;
  const qkv = numbers(batch * tokens * 3 * C + 4, 1, 2);
  const extents = { batch, heads, headWidth, queries: tokens, keys: tokens, scale: 0.3 };
  const actual = await run((rec) => {
    const tensor = rec.upload(qkv, [qkv.length]);
    const at = (i: number) => ({ tensor, stride: 3 * C, offset: 4 + i * C });
    return attention(rec, at(0), at(1), at(2), { ...extents, variant: variant(headWidth) });
  });
  const part = (i: number) =>
    Float32Array.from({ length: batch * tokens * C }, (_, n) => qkv[4 + Math.floor(n / C) * 3 * C + i * C + n % C]);
  assertClose(actual, reference(part(0), part(1), part(2), extents), 5e-6 + 3 * rounding);
});

for (const { name, variant, rounding } of CANDIDATES.filter(({ variant }) => variant(24).halves)) {
  Deno.test(`attention() reads heads of halves side by side, and makes halves: ${name}`, async () => {
    const [batch, heads, headWidth, queries] = [2, 3, 24, 2 * variant(24).queries], C = heads * headWidth;
    const qkv = numbers(batch * queries * 3 * C, 1, 2);
    const extents = { batch, heads, headWidth, queries, keys: queries, scale: 0.3 };
    const actual = await run((rec) => {
      const shape = { batch: 1, heads: 1, headWidth: 3 * C, tokens: batch * queries };
      const floats = dense(rec, qkv, 3 * C);
      const tensor = packHeads(rec, floats, { ...shape, padded: batch * queries, depth: 3 * C });
      const at = (i: number) => ({ tensor, stride: 3 * C, offset: i * C });
      const options = { ...extents, variant: variant(headWidth), toHalves: true };
      const y = attention(rec, at(0), at(1), at(2), options);
      assert.equal(y.dtype, "f16");
      assert.throws(() => attention(rec, at(0), at(1), at(2), { ...options, queries: queries - 1 }), ShapeError);
      return y;
    });
    const part = (i: number) =>
      Float32Array.from({ length: batch * queries * C }, (_, n) => qkv[Math.floor(n / C) * 3 * C + i * C + n % C]);
    assertClose(actual, reference(part(0), part(1), part(2), extents), 5e-6 + 5 * rounding);
  });
}

forVariants("goes over keys in parts", async ({ variant, rounding }) => {
  const [heads, headWidth, queries, counts] = [2, 24, 37, [40, 1, 64]], C = heads * headWidth;
  const keys = counts.reduce((a, b) => a + b);
  // Scores that rise from part to part, and large ones, so that shares differ by many orders of magnitude.
  const q = numbers(queries * C, 1, 3), v = numbers(keys * C, 3);
  const k = numbers(keys * C, 2, 3).map((value, i) => value * (1 + Math.floor(i / C) / 10));
  const extents = { batch: 1, heads, headWidth, queries, keys, scale: 0.1 };
  const actual = await run((rec) => {
    let first = 0;
    const parts = counts.map((count) => {
      const part = (data: Float32Array) => dense(rec, data.subarray(first * C, (first + count) * C), C);
      const made = { k: part(k), v: part(v), keys: count };
      first += count;
      return made;
    });
    return attentionOver(rec, dense(rec, q, C), parts, { ...extents, variant: variant(headWidth) });
  });
  // Scores of 100 have an ulp of 8e-6 in floats, and of 1/32 in halves.
  assertClose(actual, reference(q, k, v, extents), 3e-5 + 20 * rounding);
});

Deno.test("attention() reads the mask of the samples that it is told", async () => {
  const [heads, headWidth, queries, keys] = [1, 8, 3, 21];
  const [q, k, v] = [1, 2, 3].map((seed) => numbers(Math.max(queries, keys) * headWidth, seed));
  const mask = Float32Array.from({ length: 3 * keys }, (_, i) => i % (2 + Math.floor(i / keys)) ? 0 : LOWEST);
  const extents = { batch: 1, heads, headWidth, queries, keys, scale: 1 };
  for (const firstMasked of [0, 1, 2]) {
    const actual = await run((rec) =>
      attention(rec, dense(rec, q, 8), dense(rec, k, 8), dense(rec, v, 8), {
        ...extents,
        mask: rec.upload(mask, [3, keys]),
        firstMasked,
      })
    );
    const seen = mask.subarray(firstMasked * keys, (firstMasked + 1) * keys);
    assertClose(actual, reference(q, k, v, extents, seen), 5e-6);
  }
});

Deno.test("attention() takes samples one by one when a binding cannot hold them", async () => {
  const [batch, heads, headWidth, queries, keys] = [3, 2, 24, 64, 32], C = heads * headWidth;
  const q = numbers(batch * queries * C, 1, 2), kv = numbers(batch * keys * 2 * C, 2, 2);
  const mask = Float32Array.from({ length: batch * keys }, (_, i) => i % 5 > Math.floor(i / keys) ? 0 : LOWEST);
  const extents = { batch, heads, headWidth, queries, keys, scale: 0.2 };
  const actual = await runLimited(13_000, (rec) => {
    const tensor = rec.upload(kv, [batch, keys, 2 * C]);
    const options = { ...extents, mask: rec.upload(mask, [batch, keys]) };
    const k = { tensor, stride: 2 * C, offset: 0 };
    return attention(rec, dense(rec, q, C), k, { ...k, offset: C }, options);
  });
  const part = (i: number) =>
    Float32Array.from({ length: batch * keys * C }, (_, n) => kv[Math.floor(n / C) * 2 * C + i * C + n % C]);
  assertClose(actual, reference(q, part(0), part(1), extents, mask), 5e-6);
});

Deno.test("attentionByRows() matches the reference, whatever part of the scores exists at once", async (t) => {
  const cases = [
    { keys: 60, rows: 64, masked: true, halves: false },
    { keys: 64, rows: 128, masked: false, halves: false },
    { keys: 61, rows: 64, masked: true, halves: true },
  ];
  for (const { keys, rows, masked, halves } of cases) {
    const [batch, queries, D] = [2, 150, 192];
    const mask = masked ? Float32Array.from({ length: batch * keys }, (_, i) => i % 3 ? 0 : LOWEST) : undefined;
    const q = numbers(batch * queries * D, 1, 3), k = numbers(batch * keys * D, 2, 3), v = numbers(batch * keys * D, 3);
    const extents = { batch, heads: 1, headWidth: D, queries, keys, scale: D ** -0.5 };
    const expected = reference(q, k, v, extents, mask);
    for (const direct of [true, false]) {
      const how = `${direct ? `${rows} rows at once` : "by attention()"}${halves ? ", halves" : ""}`;
      await t.step(`${keys} keys, ${how}`, async () => {
        const actual = await run((rec) => {
          const [Q, K, V] = [q, k, v].map((data) => dense(rec, data, D));
          const options = { ...extents, mask: mask && rec.upload(mask, [batch, keys]), rows, halves };
          if (!direct) return attention(rec, Q, K, V, options);
          const y = rec.tensor([batch, queries, D]);
          attentionByRows(rec, Q.tensor, K.tensor, V.tensor, y, options);
          return y;
        });
        assertClose(actual, expected, halves ? 5e-3 : 5e-6);
      });
    }
  }
});

Deno.test("attention() refuses heads that do not lie in their tensors", async () => {
  const extents = { batch: 1, heads: 2, headWidth: 8, queries: 3, keys: 3, scale: 1 };
  const refuse = (change: Partial<AttentionOptions>, offset: number, part: string) =>
    assert.rejects(
      run((rec) => {
        const tensor = rec.tensor([3, 16]);
        const heads = { tensor, stride: 16, offset: 0 };
        const mask = change.mask && rec.tensor([2]);
        return attention(rec, heads, heads, { ...heads, offset }, { ...extents, ...change, mask });
      }),
      (error) => error instanceof ShapeError && error.message.includes(part),
      part,
    );
  await refuse({ headWidth: 6 }, 0, "multiple of 4");
  await refuse({ keys: 0 }, 0, "must be a key");
  await refuse({ keys: 4 }, 0, "4 rows of 16");
  await refuse({}, 4, "offset 4");
  await refuse({}, 2, "multiples of 4");
  await refuse({ mask: device.absent }, 0, "3 floats");
});
