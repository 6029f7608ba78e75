// The bench as a whole. In: words that choose, a backend. Out: a report; lines on the way as things are measured.

import { attentionCases } from "./cases/attention.ts";
import { blockCases } from "./cases/block.ts";
import { conv2dCases } from "./cases/conv2d.ts";
import { elementwiseCases } from "./cases/elementwise.ts";
import { matmulCases } from "./cases/matmul.ts";
import { networkCases } from "./cases/networks.ts";
import { normCases } from "./cases/norms.ts";
import type { Device } from "../src/gpu/device.ts";
import type { Case } from "./case.ts";
import { measureCeilings } from "./ceiling.ts";
import { contest, openDevices, withTiming } from "./contest.ts";
import { dispatchCost } from "./host.ts";
import { commit, describeMachine } from "./machine.ts";
import { race, type Raced } from "./peers/race.ts";
import { firstPicture } from "./picture.ts";
import { type Ceilings, type PyTorchRun, type Report, type Row, SCHEMA } from "./report.ts";
import { select } from "./selection.ts";
import { rowLine } from "./table.ts";
import { extentsFor, wholePicture } from "./whole_picture.ts";

/** Everything that can be measured. */
export const ALL_CASES: readonly Case[] = [
  ...networkCases,
  ...blockCases,
  ...matmulCases,
  ...attentionCases,
  ...conv2dCases,
  ...normCases,
  ...elementwiseCases,
];

/** How to run. */
export interface BenchOptions {
  quick?: boolean;
  backend?: "deno" | "dawn" | "auto";
  /** The peers to race; none when left out. */
  peers?: readonly string[];
  /** What PyTorch measured alone on this machine, to be laid beside: the document of `peers/pytorch.py`. */
  pytorch?: PyTorchRun & { rows: Row[] };
  /** Seconds after which nothing new begins. */
  limit?: number;
  signal: AbortSignal;
  /** Told a line as each thing is measured. */
  log(line: string): void;
  /** Told what there is after each case. */
  onProgress?(report: Report): void | Promise<void>;
}

async function emptyReport(words: readonly string[], device: Device, signal: AbortSignal): Promise<Report> {
  return {
    schema: SCHEMA,
    date: new Date().toISOString(),
    commit: commit(),
    words: [...words],
    seconds: 0,
    load: [Deno.loadavg()[0], 0],
    machine: describeMachine(device),
    ceilings: await measureCeilings(device, signal),
    host: { steps: [] },
    rows: [],
    skipped: [],
  };
}

const isLarge = ({ words }: Case) => words.length === 0 || words.some((word) => word === "1024" || word === "t5");

/** Ceilings are the better of before and after: other work may have disturbed either. Shares follow. */
function refine(report: Report, again: Ceilings): void {
  const { ceilings, rows } = report;
  for (const name of ["f32", "f16", "matrix", "copy"] as const) {
    if (again[name]) ceilings[name] = Math.max(ceilings[name] ?? 0, again[name]);
  }
  report.rows = rows.map((row) => withTiming(row, row.timing, ceilings));
}

/**
 * Measures what the words choose.
 *
 * @throws {UsageError} when a word is unknown, or nothing is left.
 * @throws {DeviceError} when there is no adapter.
 */
export async function runBench(
  words: readonly string[],
  { quick, backend, peers = [], pytorch, limit = Infinity, signal, log, onProgress = () => {} }: BenchOptions,
): Promise<Report> {
  select(ALL_CASES, words, { quick }); // bad words are told before anything is opened
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const { chosen, portable } = await openDevices(backend);
  using _chosen = chosen, _portable = portable;
  const report = await emptyReport([...words, ...(quick ? ["--quick"] : [])], chosen, signal);
  const { machine, ceilings } = report;
  const { cases, picture, tooLarge } = select(ALL_CASES, words, { quick, software: machine.software });
  // A GPU's time goes to what fills it.
  const ordered = machine.software ? cases : [...cases.filter(isLarge), ...cases.filter((each) => !isLarge(each))];
  log(`${machine.device} through ${machine.backend}: ${cases.length} cases`);
  const add = (row: Row) => {
    report.rows.push(row);
    log(rowLine(row, ceilings));
  };
  if (picture) Object.assign(report.host, await dispatchCost(chosen, signal));
  const raced: Raced[] = [], late: Case[] = [];
  for (const each of ordered) {
    if (elapsed() > limit) {
      late.push(each);
      continue;
    }
    const arena = { chosen, portable, ceilings, signal, software: machine.software };
    const { rows, reference, chosen: timing } = await contest(each, arena);
    rows.forEach(add);
    if (each.peer && peers.length > 0) raced.push({ case: each, reference });
    if (each.op === "step" && timing) {
      const { hostMs: recordMs, minMs: stepMs, dispatches } = timing;
      report.host.steps.push({ shape: each.shape, recordMs, stepMs, dispatches });
    }
    report.seconds = elapsed();
    await onProgress(report);
  }
  if (raced.length > 0) await race(raced, { peers, report, signal, log, onRow: add });
  if (pytorch) {
    const { rows, torch, device, ceilings } = pytorch;
    const measured = (row: Row) => report.rows.some(({ op, shape }) => op === row.op && shape === row.shape);
    report.pytorch = { torch, device, ceilings };
    report.rows.push(...rows.filter(measured));
  }
  if (report.rows.length > 0) refine(report, await measureCeilings(chosen, signal));
  if (picture && elapsed() < limit) report.firstPicture = await firstPicture(machine.backend, signal);
  await onProgress(report);
  if (picture && elapsed() < limit) {
    // Ten gigabytes of random weights for the text encoder take their time.
    const extents = extentsFor(chosen, { withText: limit - elapsed() > 90 });
    report.wholePicture = await wholePicture(chosen, signal, extents);
  }
  for (const [why, left] of [["too much for a CPU unless its size is named", tooLarge], ["no time", late]] as const) {
    if (left.length > 0) {
      report.skipped.push(`${why}: ${[...new Set(left.map(({ op, shape }) => `${op} ${shape}`))].join(", ")}`);
    }
  }
  report.seconds = elapsed();
  report.load[1] = Deno.loadavg()[0];
  return report;
}
