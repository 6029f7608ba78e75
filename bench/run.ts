// The bench as a whole. In: words that choose, a backend. Out: a report; lines on the way as things are measured.

import { attentionCases } from "./cases/attention.ts";
import { blockCases } from "./cases/block.ts";
import { conv2dCases } from "./cases/conv2d.ts";
import { matmulCases } from "./cases/matmul.ts";
import { networkCases } from "./cases/networks.ts";
import { normCases } from "./cases/norms.ts";
import type { Case, Sample } from "./case.ts";
import { measureCeilings } from "./ceiling.ts";
import { contest, openDevices } from "./contest.ts";
import { dispatchCost } from "./host.ts";
import { commit, describeMachine } from "./machine.ts";
import { race } from "./peers/race.ts";
import { firstPicture } from "./picture.ts";
import { type Report, SCHEMA } from "./report.ts";
import { select } from "./selection.ts";
import { rowLine } from "./table.ts";

/** Everything that can be measured. */
export const ALL_CASES: readonly Case[] = [
  ...matmulCases,
  ...attentionCases,
  ...conv2dCases,
  ...normCases,
  ...blockCases,
  ...networkCases,
];

/** How to run. */
export interface BenchOptions {
  backend?: "deno" | "dawn" | "auto";
  signal: AbortSignal;
  /** Told a line as each thing is measured. */
  log(line: string): void;
}

/**
 * Measures what the words choose.
 *
 * @throws {UsageError} when a word is unknown, or nothing is left.
 * @throws {DeviceError} when there is no adapter.
 */
export async function runBench(words: readonly string[], { backend, signal, log }: BenchOptions): Promise<Report> {
  select(ALL_CASES, words, false); // bad words are told before anything is opened
  const start = performance.now();
  const { chosen, portable } = await openDevices(backend);
  using _chosen = chosen, _portable = portable;
  const machine = describeMachine(chosen);
  const { cases, peers, picture, tooLarge } = select(ALL_CASES, words, machine.software);
  log(`${machine.device} through ${machine.backend}: ${cases.length} cases`);
  const ceilings = await measureCeilings(chosen, signal);
  const report: Report = {
    schema: SCHEMA,
    date: new Date().toISOString(),
    commit: commit(),
    words: [...words],
    seconds: 0,
    machine,
    ceilings,
    rows: [],
    skipped: [],
  };
  if (picture) report.host = { dispatchUs: await dispatchCost(chosen, signal) };
  const raced: { case: Case; reference: Sample | undefined }[] = [];
  for (const each of cases) {
    const { rows, reference, chosen: timing } = await contest(each, {
      ...{ chosen, portable, ceilings, signal },
      software: machine.software,
    });
    for (const row of rows) log(rowLine(row, ceilings));
    report.rows.push(...rows);
    if (each.peer) raced.push({ case: each, reference });
    if (each.op === "step" && timing && report.host) {
      report.host.step = { recordMs: timing.hostMs, stepMs: timing.minMs, dispatches: timing.dispatches };
    }
  }
  if (peers) await race(raced, { machine, ceilings, signal, log, report });
  if (picture) {
    signal.throwIfAborted();
    report.firstPicture = await firstPicture(machine.backend, signal);
  }
  if (tooLarge.length > 0) {
    const names = [...new Set(tooLarge.map(({ op, shape }) => `${op} ${shape}`))];
    report.skipped.push(`too much for a CPU unless asked for by size: ${names.join(", ")}`);
  }
  report.seconds = (performance.now() - start) / 1000;
  return report;
}
