// The results that are kept: README says what they say, and a device has one file a day.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Report, Row } from "../../bench/report.ts";
import { fileNameOf, performanceSection, readResults, withReport, withSection } from "../../bench/results_table.ts";

const timing = (minMs: number) => ({
  minMs,
  medianMs: minMs,
  spread: 0,
  rounds: 3,
  repetitions: 1,
  clock: "gpu" as const,
});

function row(name: string, kind: Row["kind"], minMs: number, more: Partial<Row> = {}): Row {
  return {
    ...{ op: "block", shape: "Σ XL/2 256 tokens", dtype: "f16", name, kind, flops: 1e9, bytes: 1, ok: true },
    ...{ timing: timing(minMs), floorMs: 1, share: 1 / minMs },
    ...more,
  };
}

function report(date: string, device: string, rows: Row[], words: string[] = []): Report {
  return {
    ...{ schema: 1, date, commit: "abcdef0", words, seconds: 1, load: [0, 0], host: { steps: [] }, rows, skipped: [] },
    machine: {
      ...{ device, vendor: "", architecture: "", backend: "dawn", driver: "NVIDIA 580", software: /llvm/.test(device) },
      ...{ features: [], subgroupSize: 32, os: "", cores: 4, deno: "2.9.6" },
    },
    ceilings: { f32: 1e12, copy: 1e12, roundTripMs: 0 },
  };
}

Deno.test("README's section of performance is what the kept results say", async () => {
  const text = await Deno.readTextFile(fileURLToPath(new URL("../../README.md", import.meta.url)));
  const made = withSection(text, performanceSection(readResults()));
  assert.equal(text, made, "run deno run -A bench/results_table.ts");
});

Deno.test("performanceSection() tells the newest day of each device, GPUs first, with ratios", () => {
  const rows = [row("matrix", "chosen", 2), row("tfjs", "peer", 10, { dtype: "f32" }), row("portable", "portable", 8)];
  const files = new Map([
    ["2026-11-20-nvidia-x.json", { reports: [report("2026-11-20", "NVIDIA X", [row("old", "chosen", 3)])] }],
    ["2026-11-26-lavapipe.json", { reports: [report("2026-11-26", "llvmpipe", [row("wide", "chosen", 100)])] }],
    ["2026-11-27-nvidia-x.json", { reports: [report("2026-11-27", "NVIDIA X", rows)] }],
  ]);
  const section = performanceSection(files);
  assert.match(
    section,
    /\| block Σ XL\/2 256 tokens \| f16 +\| matrix \| 2\.00 ms \| 500\.0 GFLOP\/s \| 50% +\| 4\.00 +\| 5\.00/,
  );
  assert.ok(section.indexOf("NVIDIA X") < section.indexOf("llvmpipe"));
  assert.ok(!section.includes("| old"));
});

Deno.test("performanceSection() tells the runs of one backend as one", () => {
  const [one, two] = ["Σ XL/2 256 tokens", "Σ XL/2 1024 tokens"].map((shape) =>
    report("2026-11-27", "X", [row("matrix", "chosen", 2, { shape })], [shape])
  );
  two.ceilings = { f32: 3e12, f16: 5e12, copy: 5e11, roundTripMs: 0 };
  one.host.dispatchUs = 7;
  const section = performanceSection(new Map([["2026-11-27-x.json", { reports: [one, two] }]]));
  assert.equal(section.match(/\*\*X\*\*/g)?.length, 1);
  assert.match(
    section.replaceAll("\n", " "),
    /3\.0 TFLOP\/s in f32, 5\.0 TFLOP\/s in f16, a copy 1\.0 TB\/s\. The host spends 7\.0 us/,
  );
  assert.match(section, /256 tokens[^]*1024 tokens/);
});

Deno.test("performanceSection() compares within a run only, and lets a later run replace a row", () => {
  const early = report("2026-11-27", "X", [row("matrix", "chosen", 2), row("tfjs", "peer", 4)], ["early"]);
  const late = report("2026-11-27", "X", [row("matrix", "chosen", 1), row("tfjs", "peer", 8)], ["late"]);
  const section = performanceSection(new Map([["2026-11-27-x.json", { reports: [early, late] }]]));
  assert.equal(section.match(/256 tokens/g)?.length, 1);
  assert.match(section, /\| 1\.00 ms \| .*\| 8\.00 /);
});

Deno.test("performanceSection() leaves out what was wrong and what nobody else was measured at", () => {
  const rows = [row("broken", "chosen", 1, { ok: false }), row("alone", "chosen", 1, { op: "matmul" })];
  const section = performanceSection(new Map([["2026-11-27-x.json", { reports: [report("2026-11-27", "X", rows)] }]]));
  assert.ok(section.includes("**X**") && !/broken|alone/.test(section));
});

Deno.test("withReport() replaces a run of the same words and backend; fileNameOf() names day and device", () => {
  const [first, again, other] = [
    report("2026-11-27", "X", []),
    report("2026-11-28", "X", []),
    report("2026-11-27", "X", [], ["picture"]),
  ];
  const results = [first, other, again].reduce(withReport, { reports: [] });
  assert.deepEqual(results.reports, [other, again]);
  assert.equal(
    fileNameOf(report("2026-11-27T10:00:00Z", "NVIDIA H100 80GB HBM3", [])),
    "2026-11-27-nvidia-h100-80gb-hbm3.json",
  );
  const software = report("2026-11-27", "llvmpipe: Mesa 25.0.7 (LLVM 15)", []);
  assert.equal(fileNameOf(software), "2026-11-27-lavapipe.json");
  const machine = { ...software.machine, processor: "AMD EPYC" };
  assert.equal(fileNameOf({ ...software, machine }), "2026-11-27-lavapipe-amd-epyc.json");
});

Deno.test("withSection() refuses a text without markers", () => {
  assert.throws(() => withSection("# PixArt", "x"), /Cannot write results as the text must hold/);
});
