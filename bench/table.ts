// A report for people. In: a report, or a row as it comes. Out: lines of text.

import { formatTable } from "../src/cli/table.ts";
import { groupOf, type HostCost, type Report, type Row, type StepCost } from "./report.ts";

/** Three digits, in the unit that suits. */
export function formatMs(ms: number): string {
  if (ms >= 10000) return `${(ms / 1000).toPrecision(3)} s`;
  if (ms >= 100) return `${ms.toFixed(0)} ms`;
  return ms >= 0.1 ? `${ms.toPrecision(3)} ms` : `${(ms * 1000).toPrecision(3)} us`;
}

/** What the host spends a dispatch. */
export function formatDispatchCost({ dispatchUs = 0, bareUs }: HostCost): string {
  return `${dispatchUs.toFixed(1)} us a dispatch${bareUs ? `, ${bareUs.toFixed(1)} of them in WebGPU itself` : ""}`;
}

/** How long a step is recorded, and its share of the step. */
export function formatRecording({ recordMs, stepMs, dispatches }: StepCost): string {
  const each = (1000 * recordMs / dispatches).toFixed(1), share = (100 * recordMs / stepMs).toFixed(1);
  return `${formatMs(recordMs)} of ${formatMs(stepMs)} (${each} us a dispatch, ${share}%)`;
}

/** What a row reaches, of arithmetic or of memory, whichever bounds it. */
export function rateOf(
  { flops, bytes, timing }: Row,
  ceilings: Report["ceilings"],
): { giga: number; unit: "FLOP/s" | "B/s" } {
  const byArithmetic = flops / ceilings.f32 >= bytes / ceilings.copy;
  const giga = (byArithmetic ? flops : bytes) / timing!.minMs / 1e6;
  return { giga, unit: byArithmetic ? "FLOP/s" : "B/s" };
}

/** The rate in words; empty without a time. */
export function formatRate(row: Row, ceilings: Report["ceilings"]): string {
  if (!row.timing) return "";
  const { giga, unit } = rateOf(row, ceilings);
  return giga >= 1000 ? `${(giga / 1000).toFixed(1)} T${unit}` : `${giga.toFixed(1)} G${unit}`;
}

/** One row as it comes. */
export function rowLine(row: Row, ceilings: Report["ceilings"]): string {
  const { timing, share, ok, note } = row;
  const parts = [`${groupOf(row)} ${row.name}:`];
  if (timing) parts.push(`${formatMs(timing.minMs)}, ${formatRate(row, ceilings)}, ${(100 * share!).toFixed(0)}%`);
  if (!ok) parts.push(`NOT OK: ${note}`);
  return parts.join(" ");
}

/**
 * How many times faster than the best right peer at the same work, whatever the type of our weights; undefined without a peer.
 *
 * @param counts Which peers are meant, by their names.
 */
export function ratioToPeers(
  rows: readonly Row[],
  { op, shape, timing }: Row,
  counts: (name: string) => boolean,
): number | undefined {
  const times = rows
    .filter((row) => row.kind === "peer" && row.ok && row.op === op && row.shape === shape && counts(row.name))
    .flatMap((row) => row.timing ? [row.timing.minMs] : []);
  return timing && times.length > 0 ? Math.min(...times) / timing.minMs : undefined;
}

/** Whether a peer runs on WebGPU; the other one is PyTorch. */
export const isWebGpuPeer = (name: string): boolean => !name.startsWith("PyTorch");

const times = (ratio: number | undefined) => ratio === undefined ? "" : `${ratio.toFixed(ratio < 10 ? 2 : 1)}x`;

function head({ machine, ceilings, date, commit, seconds, load }: Report): string[] {
  const giga = (value: number) => (value / 1e9).toFixed(1);
  const { device, backend, driver, cores, deno } = machine;
  const more = [["f16", ceilings.f16], ["subgroup matrices", ceilings.matrix]] as const;
  return [
    [
      `${device} through ${backend}${driver ? `, ${driver}` : ""}; ${cores} cores, load ${
        load.map((x) => x.toFixed(1)).join(" to ")
      }`,
      `Deno ${deno}, commit ${commit}, ${date.slice(0, 10)}, ${seconds.toFixed(0)} s`,
    ].join("; "),
    [
      `ceilings: ${giga(ceilings.f32)} GFLOP/s in f32`,
      ...more.flatMap(([name, value]) => value ? [`${giga(value)} in ${name}`] : []),
      `copy ${giga(ceilings.copy)} GB/s; an empty round trip takes ${formatMs(ceilings.roundTripMs)}`,
    ].join(", "),
  ];
}

function tail({ host, firstPicture, wholePicture, skipped }: Report): string[] {
  const told: string[] = [];
  if (host.dispatchUs !== undefined) told.push(`host: ${formatDispatchCost(host)}`);
  for (const step of host.steps) {
    told.push(`host: ${step.shape}: ${step.dispatches} dispatches are recorded in ${formatRecording(step)}`);
  }
  if (firstPicture) {
    const { coldMs, warmMs, note } = firstPicture;
    told.push(`first picture (${note}): ${formatMs(coldMs)} with empty caches, ${formatMs(warmMs)} after that`);
  }
  if (wholePicture) {
    const { size, steps, textEncoder, firstMs, againMs } = wholePicture;
    const networks = textEncoder ? "T5-XXL, Σ XL/2 and VAE" : "Σ XL/2 and VAE";
    told.push(
      `a picture of ${size} px in ${steps} steps (${networks}): ${formatMs(againMs)}, the first ${formatMs(firstMs)}`,
    );
  }
  return [...told, ...skipped.map((line) => `left out: ${line}`)];
}

/** All rows, those of one kind of work together, under the ceilings of the run. */
export function formatReport(report: Report): string {
  const { rows, ceilings } = report;
  const hasPeers = rows.some(({ kind }) => kind === "peer");
  const cells = rows.toSorted(byGroup(rows)).map((row) => [
    groupOf(row),
    row.name,
    row.timing ? formatMs(row.timing.minMs) : "",
    row.timing ? formatMs(row.timing.medianMs) : "",
    formatRate(row, ceilings),
    row.floorMs ? formatMs(row.floorMs) : "",
    row.share ? `${(100 * row.share).toFixed(0)}%` : "",
    row.error === undefined ? "" : row.error.toExponential(0),
    ...(hasPeers
      ? [isWebGpuPeer, (name: string) => !isWebGpuPeer(name)].map((counts) =>
        row.kind === "chosen" ? times(ratioToPeers(rows, row, counts)) : ""
      )
      : []),
    row.ok ? row.timing?.clock === "wall" ? "wall clock" : "" : `NOT OK: ${row.note}`,
  ]);
  const versus = hasPeers ? ["of WebGPU", "of PyTorch"] : [];
  const header = ["", "", "best", "median", "rate", "floor", "of it", "error", ...versus, ""];
  const table = cells.length > 0
    ? [formatTable(header, cells, [2, 3, 4, 5, 6, 7, 8, 9].slice(0, header.length - 3))]
    : [];
  return [...head(report), ...table, ...tail(report)].join("\n");
}

/** Orders rows so that the same work stands together, in the order in which it was first measured. */
function byGroup(rows: readonly Row[]): (a: Row, b: Row) => number {
  const place = new Map<string, number>();
  for (const { op, shape } of rows) place.set(`${op} ${shape}`, place.get(`${op} ${shape}`) ?? place.size);
  return (a, b) => place.get(`${a.op} ${a.shape}`)! - place.get(`${b.op} ${b.shape}`)!;
}
