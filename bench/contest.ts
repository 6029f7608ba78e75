// One case on one or two devices: the kernels that need no features beside those that this device gets. In: a case. Out: its rows,
// and what a peer's result is compared with.

import { Device } from "../src/gpu/device.ts";
import { type GpuTiming, timeWork } from "../src/tune/gpu_clock.ts";
import { PATIENCE } from "../src/tune/measure.ts";
import { firstRun, type Opened, relativeL2, type Sample, toleranceOf } from "../src/tune/work.ts";
import type { Case } from "./case.ts";
import { floorMs } from "./ceiling.ts";
import type { Ceilings, Row } from "./report.ts";

/** The devices of a run, and what is known of them. */
export interface Arena {
  chosen: Device;
  /** The same adapter without optional features: what it gets is the portable kernels. */
  portable: Device;
  ceilings: Ceilings;
  software: boolean;
  signal: AbortSignal;
}

/** What became of a case. */
export interface Contest {
  rows: Row[];
  /** What any other contestant must compute. */
  reference?: Sample;
  /** The timing of the kernels that this device gets, with what the host did. */
  chosen?: GpuTiming;
}

/** Operations above which the portable kernel is spared: where the result is known without it, and where it is the reference. */
const SPARED = { cpu: { known: 6e9, reference: 6e10 }, gpu: { known: 1e10, reference: 3e11 } };

/** Whether the portable kernel is worth its time at a case. */
export function wantsPortable({ flops, expected }: Case, software: boolean): boolean {
  const { known, reference } = software ? SPARED.cpu : SPARED.gpu;
  return flops <= (expected ? known : reference);
}

/** Opens both devices of a run. */
export async function openDevices(backend?: "deno" | "dawn" | "auto"): Promise<{ chosen: Device; portable: Device }> {
  const chosen = await Device.open({ backend });
  const portable = await Device.open({
    ...(chosen.entry.backend === "dawn" ? { backend: "dawn" as const } : { backend: "deno" as const }),
    features: ["timestamp-query"],
    software: true, // for what the kernels are chosen by
  });
  return { chosen, portable };
}

/** The row of a case, as yet without a result. */
export function emptyRow({ op, shape, dtype, flops, bytes }: Case, kind: Row["kind"], name: string): Row {
  return { op, shape, dtype, name, kind, flops, bytes, ok: false };
}

/** Puts a timing into a row, and says how much of the ceilings it reached. */
export function withTiming(row: Row, timing: Row["timing"], ceilings: Ceilings): Row {
  if (!timing) return row;
  const { minMs, medianMs, spread, rounds, repetitions, clock } = timing;
  const floor = floorMs(ceilings, row);
  const kept = { minMs, medianMs, spread, rounds, repetitions, clock };
  return { ...row, timing: kept, floorMs: floor, share: floor / minMs };
}

/** Kinds of kernels, as the ends of their names tell them. */
const KINDS = ["matrix", "tile_f16", "tile", "wide"];

/** What is told of kernels by their names: `matrix`, `matrix+tile`; `portable` where none is of a kind. */
export function kindsOf(names: Iterable<string>): string {
  const all = [...names];
  return KINDS.filter((kind) => all.some((name) => name.endsWith(`_${kind}`))).join("+") || "portable";
}

/** The kinds of kernels that a first run used. */
export const kindsOfRun = ({ variant }: Pick<Opened, "variant">, names: Iterable<string>): string =>
  variant ?? kindsOf(names);

/** Measures a case. A contestant that fails becomes a row that says why. */
export async function contest(each: Case, arena: Arena): Promise<Contest> {
  const { ceilings, software, signal } = arena;
  const result: Contest = { rows: [], reference: each.expected?.() };
  const contestants: ["portable" | "chosen", Device][] = [
    ...(wantsPortable(each, software) ? [["portable", arena.portable] as ["portable", Device]] : []),
    ["chosen", arena.chosen],
  ];
  for (const [kind, device] of contestants) {
    signal.throwIfAborted();
    let row = emptyRow(each, kind, kind);
    try {
      using opened = await each.open(device);
      const { sample, names } = await firstRun(device, opened, result.reference?.places);
      const kinds = kindsOfRun(opened, names);
      if (kind === "chosen" && kinds === "portable" && result.rows.length > 0) continue; // the same kernel again
      if (kind === "chosen") row.name = kinds;
      if (result.reference) {
        row.error = relativeL2(sample.values, result.reference.values);
        const tolerance = toleranceOf(each, kinds);
        row.ok = row.error <= tolerance;
        if (!row.ok) row.note = `wrong: off by ${row.error.toExponential(1)}, and ${tolerance} may be`;
      } else {
        result.reference = sample;
        row.ok = true;
        row.note = kind === "portable" ? "the reference" : "compared with nothing: the portable kernels take too long";
      }
      // Kernels that are only a reference need no long look.
      const patience = kind === "portable" ? { ...PATIENCE, budgetMs: software ? 1000 : 300, atLeast: 2 } : PATIENCE;
      const timing = await timeWork(device, (rec) => opened.record(rec), {
        emptyMs: ceilings.roundTripMs,
        patience,
        signal,
      });
      row = withTiming(row, timing, ceilings);
      if (kind === "chosen") result.chosen = timing;
    } catch (error) {
      signal.throwIfAborted();
      row.ok = false;
      row.note = error instanceof Error ? error.message.split("\n")[0] : String(error);
    }
    device.arena.trim();
    result.rows.push(row);
  }
  return result;
}
