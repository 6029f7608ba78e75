// The race of peers, with a shell script in the place of PyTorch: answers, wrong answers, crashes, a program that never says a word.

import assert from "node:assert/strict";
import type { Case } from "../../bench/case.ts";
import { race } from "../../bench/peers/race.ts";
import type { Report, Row } from "../../bench/report.ts";
import { REPORT } from "./_report.ts";

const TIMING = JSON.stringify({ minMs: 2, medianMs: 3, spread: 0.5, rounds: 4, repetitions: 1, clock: "wall" });

/** A case whose result is [1, 2] at two places. */
const raced = (shape: string) => ({
  case: {
    ...{ op: "step", shape, dtype: "f16", words: [], flops: 1e9, bytes: 1, tolerance: 1e-2 },
    open: () => assert.fail("a race opens nothing"),
    peer: { kind: "step" as const, extents: { tokens: 4 } },
  } satisfies Case,
  reference: { places: Uint32Array.of(0, 1), values: Float32Array.of(1, 2) },
});

async function raceAgainst(script: string, shapes: string[]): Promise<{ rows: Row[]; report: Report }> {
  const folder = await Deno.makeTempDir();
  const program = `${folder}/python`;
  await Deno.writeTextFile(program, `#!/bin/sh\n${script}\n`);
  await Deno.chmod(program, 0o755);
  const before = Deno.env.get("PIXART_PYTHON");
  Deno.env.set("PIXART_PYTHON", program);
  const rows: Row[] = [], report: Report = { ...REPORT, rows: [], skipped: [] };
  try {
    const signal = new AbortController().signal;
    await race(shapes.map(raced), { peers: ["PyTorch"], report, signal, log() {}, onRow: (row) => rows.push(row) });
  } finally {
    if (before === undefined) Deno.env.delete("PIXART_PYTHON");
    else Deno.env.set("PIXART_PYTHON", before);
    await Deno.remove(folder, { recursive: true });
  }
  return { rows, report };
}

Deno.test("race() makes a row of each answer, and believes only what is right", async () => {
  const { rows, report } = await raceAgainst(
    `echo '{"name":"PyTorch f32","timing":${TIMING},"values":[1,2]}'
     echo '{"name":"PyTorch f32","timing":${TIMING},"values":[1,2.5]}'
     echo '{"name":"PyTorch f32","timing":${TIMING}}'
     echo '{"note":"no such operation"}'`,
    ["right", "wrong", "own weights", "missing", "right"],
  );
  const told = rows.map(({ shape, name, kind, ok, timing }) => [shape, name, kind, ok, timing?.minMs]);
  assert.deepEqual(told, [
    ["right", "PyTorch f32", "peer", true, 2],
    ["wrong", "PyTorch f32", "peer", false, 2],
    ["own weights", "PyTorch f32", "peer", true, 2],
    ["missing", "PyTorch", "peer", false, undefined],
  ]);
  assert.deepEqual([rows[0].error, rows[0].floorMs, rows[3].note], [0, 0.25, "no such operation"]);
  assert.match(rows[1].note ?? "", /^wrong: off by 2\.\de-1$/);
  assert.match(rows[2].note ?? "", /not compared/);
  assert.deepEqual(report.skipped, []);
});

Deno.test("race() goes on behind a crash with what is left", async () => {
  const { rows } = await raceAgainst(
    `echo '{"timing":${TIMING},"values":[1,2]}'\necho "out of memory" >&2\nexit 3`,
    ["a", "b", "c"],
  );
  assert.deepEqual(rows.map(({ shape, ok }) => [shape, ok]), [["a", true], ["b", false], ["c", true]]);
  assert.equal(rows[1].note, "its process ended with status 3: out of memory");
});

Deno.test("race() tries each work of a peer whose process is killed by it", async () => {
  const { rows, report } = await raceAgainst("kill -SEGV $$", ["a", "b"]);
  assert.deepEqual(rows.map(({ shape, ok, note }) => [shape, ok, note]), [
    ["a", false, "its process ended with SIGSEGV"],
    ["b", false, "its process ended with SIGSEGV"],
  ]);
  assert.deepEqual(report.skipped, []);
});

Deno.test("race() names a peer that never answers among what was left out, once", async () => {
  const { rows, report } = await raceAgainst(`echo "no torch here" >&2\nexit 1`, ["a", "b"]);
  assert.deepEqual([rows, report.skipped], [[], ["PyTorch: its process ended with status 1: no torch here"]]);
});
