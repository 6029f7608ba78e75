// `deno bench` of every op, in the words of that tool: a group for each shape and type of weights, the portable kernel its baseline.
// Each result is checked before it is timed. A run is many repetitions in one submit, whose count stands in the name, since a wait
// alone costs 10 ms in Deno; `./pixart bench` gives times of one, and rates.

import assert from "node:assert/strict";
import { Recorder } from "../src/gpu/recorder.ts";
import { firstRun, type Opened, relativeL2, toleranceOf } from "../src/tune/work.ts";
import type { Case } from "./case.ts";
import { kindsOfRun, openDevices, wantsPortable } from "./contest.ts";
import { groupOf } from "./report.ts";
import { ALL_CASES } from "./run.ts";
import { select } from "./selection.ts";

const { chosen, portable } = await openDevices();
const { software } = chosen;

/** About as much as makes a tenth of a second. */
const repetitionsOf = ({ flops, bytes }: Case) =>
  Math.max(1, Math.min(200, Math.round((software ? 3e9 : 3e12) / Math.max(flops, 20 * bytes))));

function register(each: Case, kind: "portable" | "chosen"): void {
  const device = kind === "chosen" ? chosen : portable;
  const repetitions = repetitionsOf(each);
  let opened: Opened | undefined;
  const options = { group: groupOf(each), baseline: kind === "portable", n: 5, warmup: 1 };
  Deno.bench(`${groupOf(each)} ${kind} x${repetitions}`, options, async (bench) => {
    if (!opened) {
      opened = await each.open(device);
      const reference = each.expected?.();
      const { sample, names } = await firstRun(device, opened, reference?.places);
      const error = reference ? relativeL2(sample.values, reference.values) : 0;
      assert.ok(error <= toleranceOf(each, kindsOfRun(opened, names)), `${groupOf(each)} ${kind} is off by ${error}`);
    }
    bench.start();
    const rec = new Recorder(device);
    for (let i = 0; i < repetitions; i++) {
      using _scope = rec.scope();
      opened.record(rec);
    }
    rec.submit();
    await device.settle();
    bench.end();
  });
}

for (const each of select(ALL_CASES, ["ops"], { software }).cases) {
  if (wantsPortable(each, software)) register(each, "portable");
  register(each, "chosen");
}
