// The bench itself: which cases a run chooses, what it makes of a right, a wrong and a failing kernel, floors, ratios, tables, plots.

import assert from "node:assert/strict";
import type { Case } from "../../bench/case.ts";
import { floorMs } from "../../bench/ceiling.ts";
import { contest, kindsOf, openDevices } from "../../bench/contest.ts";
import { lines } from "../../bench/peers/lines.ts";
import { plotReport } from "../../bench/plot.ts";
import { ALL_CASES } from "../../bench/run.ts";
import { select } from "../../bench/selection.ts";
import { formatMs, formatReport, isWebGpuPeer, ratioToPeers } from "../../bench/table.ts";
import { UsageError } from "../../src/errors.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import { add } from "../../src/ops/add.ts";
import { measure, summarize } from "../../src/tune/measure.ts";
import { type Opened, sample, spreadPlaces, toleranceOf } from "../../src/tune/work.ts";
import { CEILINGS, REPORT } from "./_report.ts";

Deno.test("select() narrows by words of different kinds and widens by words of one kind", () => {
  const ops = (
    words: string[],
    options = {},
  ) => [...new Set(select(ALL_CASES, words, options).cases.map(({ op }) => op))];
  assert.deepEqual(ops(["matmul", "attention", "512"]), ["matmul", "attention"]);
  assert.deepEqual(ops(["networks", "256", "f16"]).sort(), ["block", "step", "vae"]);
  assert.ok(
    select(ALL_CASES, ["1024", "f16"]).cases.every(({ dtype, words }) => dtype === "f16" && words.includes("1024")),
  );
  assert.equal(select(ALL_CASES, []).cases.length, ALL_CASES.length);
  for (const software of [true, false]) {
    const { cases } = select(ALL_CASES, [], { quick: true, software });
    assert.ok(cases.length < 10 && cases.every(({ only }) => only !== (software ? "gpu" : "cpu")));
  }
});

Deno.test("select() spares a CPU the largest cases unless their size is named", () => {
  const { cases, tooLarge } = select(ALL_CASES, ["step"], { software: true });
  assert.deepEqual([cases.length, tooLarge.length], [1, 2]);
  assert.equal(select(ALL_CASES, ["step", "1024"], { software: true }).cases.length, 1);
});

Deno.test("select() refuses unknown words and empty choices", () => {
  assert.throws(() => select(ALL_CASES, ["matmull"]), (error) => {
    return error instanceof UsageError && error.message.includes("matmull") && error.message.includes("attention");
  });
  assert.throws(() => select(ALL_CASES, ["t5", "ops", "1024", "rms_norm", "f16"]), UsageError);
});

Deno.test("every case has a name of its own, and words by which it can be chosen", () => {
  const names = ALL_CASES.map(({ op, shape, dtype }) => `${op} ${shape} ${dtype}`);
  assert.equal(new Set(names).size, names.length);
  for (const { op, words, flops, bytes } of ALL_CASES) {
    assert.ok(flops > 0 && bytes > 0, op);
    if (words.length > 0) assert.ok(select(ALL_CASES, [words[0]]).cases.length > 0);
  }
});

Deno.test("floorMs() is the larger of arithmetic and memory, and lets only halves count the ceiling of halves", () => {
  assert.equal(floorMs(CEILINGS, { dtype: "f32", flops: 1e12, bytes: 1e9 }), 1000);
  assert.equal(floorMs(CEILINGS, { dtype: "f16", flops: 1e12, bytes: 1e9 }), 250);
  assert.equal(floorMs({ ...CEILINGS, matrix: 1e13 }, { dtype: "int8", flops: 1e12, bytes: 1e9 }), 100);
  assert.equal(floorMs(CEILINGS, { dtype: "f16", flops: 1e9, bytes: 1e11 }), 1000);
});

Deno.test("ratioToPeers() takes the fastest right peer of the same work, whatever its weights", () => {
  const [ours] = REPORT.rows;
  assert.equal(ratioToPeers(REPORT.rows, ours, isWebGpuPeer), 6);
  assert.equal(ratioToPeers(REPORT.rows, ours, (name) => !isWebGpuPeer(name)), 0.5);
  assert.equal(ratioToPeers(REPORT.rows, { ...ours, shape: "other" }, () => true), undefined);
});

Deno.test("formatReport() tells best, rate, share, ratios, and what is not ok", () => {
  const text = formatReport(REPORT);
  assert.match(text, /A <fast> GPU through deno, Mesa 25\.0\.7; 2 cores, load 0\.5 to 1\.0/);
  assert.match(text, /wide +2\.00 ms +4\.00 ms +500\.0 GFLOP\/s +1\.00 ms +50% +6\.00x +0\.50x/);
  assert.match(text, /onnxruntime-web .*NOT OK: wrong: off by 2\.0e-1/);
  assert.deepEqual([0.0123, 3.14159, 456.7, 12345].map(formatMs), ["12.3 us", "3.14 ms", "457 ms", "12.3 s"]);
});

Deno.test("plotReport() draws a dot for each right row, further right for faster, with what it says escaped", () => {
  const svg = plotReport(REPORT);
  const dots = [...svg.matchAll(/cx="([\d.]+)" cy="[\d.]+" r="5" fill="#\w+"><title>([^:]+):/g)];
  const places = Object.fromEntries(dots.map(([, x, name]) => [name, Number(x)]));
  assert.deepEqual(Object.keys(places).sort(), ["PyTorch fp16", "jax-js", "tfjs", "wide"]);
  assert.ok(places["tfjs"] < places["jax-js"] && places["jax-js"] < places["wide"]);
  assert.ok(svg.includes("A &#60;fast&#62; GPU") && !svg.includes("<fast>"));
});

Deno.test("summarize() and measure() keep the minimum and stop when times lie close together", async () => {
  assert.deepEqual(summarize([4, 2, 3, 5]), { minMs: 2, medianMs: 3.5, spread: 0.75, rounds: 4 });
  const patience = { budgetMs: 1e5, atLeast: 3, atMost: 9, spread: 0.1 };
  let turn = 0;
  assert.equal((await measure(() => Promise.resolve(1), patience)).length, 3);
  assert.equal((await measure(() => Promise.resolve(++turn), patience)).length, 9);
});

Deno.test("kindsOf() tells the kinds of kernels by the ends of their names, and what they may be off by", () => {
  assert.equal(kindsOf(["layer_norm", "matmul_tile", "attention_pack", "attention_matrix"]), "matrix+tile");
  assert.equal(kindsOf(["matmul_tile_f16"]), "tile_f16");
  assert.equal(kindsOf(["matmul", "attention_merge"]), "portable");
  const { tolerance } = ALL_CASES.find(({ dtype }) => dtype === "f32")!;
  assert.equal(toleranceOf({ ...ALL_CASES[0], tolerance }, "wide"), tolerance);
  assert.equal(toleranceOf({ ...ALL_CASES[0], tolerance }, "matrix+tile"), 5e-3);
});

Deno.test("spreadPlaces() names as many different places as there are, all within", () => {
  for (const size of [7, 300, 1e6]) {
    const places = spreadPlaces(size);
    assert.equal(new Set(places).size, Math.min(size, 300));
    assert.ok(places.every((place) => place < size));
  }
});

Deno.test("lines() cuts text wherever the bytes are cut", async () => {
  const bytes = new TextEncoder().encode("a Σ\nb\n\nc");
  const cut = [bytes.slice(0, 3), bytes.slice(3, 6), bytes.slice(6)];
  const found: string[] = [];
  for await (const line of lines(ReadableStream.from(cut))) found.push(line);
  assert.deepEqual(found, ["a Σ", "b", "", "c"]);
});

/** x + y, and what it is said to be. */
function addCase(expected: (i: number) => number, record?: Opened["record"], variant?: string): Case {
  const count = 4096;
  return {
    ...{ op: "add", shape: `${count}`, dtype: "f32", words: [], flops: count, bytes: 12 * count, tolerance: 1e-6 },
    open(device) {
      const [x, y] = [2, 3].map((factor) =>
        device.upload(Float32Array.from({ length: count }, (_, i) => i * factor), [1, count])
      );
      return Promise.resolve({
        variant,
        record: record ?? ((rec: Recorder) => add(rec, x, y)),
        [Symbol.dispose]: () => [x, y].forEach((tensor) => tensor.dispose()),
      });
    },
    expected: () => sample(count, expected),
  };
}

Deno.test("contest() times a right kernel, and tells a wrong one and a failing one", async () => {
  const { chosen, portable } = await openDevices();
  using _chosen = chosen, _portable = portable;
  const arena = { chosen, portable, ceilings: CEILINGS, software: true, signal: new AbortController().signal };
  const right = await contest(addCase((i) => 5 * i), arena);
  // The chosen device gets the portable kernel, too, so that there is nothing more to measure.
  assert.deepEqual(right.rows.map(({ kind, name, ok, error }) => [kind, name, ok, error]), [
    ["portable", "portable", true, 0],
  ]);
  const named = await contest(addCase((i) => 5 * i, undefined, "better"), arena);
  assert.deepEqual(named.rows.map(({ kind, name, ok }) => [kind, name, ok]), [
    ["portable", "portable", true],
    ["chosen", "better", true],
  ]);
  assert.ok(right.rows.every(({ timing, share }) => timing!.minMs > 0 && share! > 0 && timing!.rounds >= 1));
  assert.equal(right.reference?.values.length, 300);
  const kept = chosen.ledger.bytes; // what the device keeps for itself
  const wrong = await contest(addCase((i) => 5 * i + 1), arena);
  assert.ok(wrong.rows.every(({ ok, note }) => !ok && note?.startsWith("wrong: off by")));
  const failing = await contest(addCase((i) => 5 * i, () => assert.fail("no such kernel\nat all")), arena);
  assert.ok(failing.rows.every(({ ok, note, timing }) => !ok && note === "no such kernel" && !timing));
  assert.equal(chosen.ledger.bytes, kept);
});
