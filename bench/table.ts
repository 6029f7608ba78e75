// A report for people. In: a report, or a row as it comes. Out: lines of text.

import { formatTable } from "../src/cli/table.ts";
import { groupOf, type Report, type Row } from "./report.ts";

/** Three digits, in the unit that suits. */
export function formatMs(ms: number): string {
  if (ms >= 10000) return `${(ms / 1000).toPrecision(3)} s`;
  if (ms >= 100) return `${ms.toFixed(0)} ms`;
  return ms >= 0.1 ? `${ms.toPrecision(3)} ms` : `${(ms * 1000).toPrecision(3)} us`;
}

/** GFLOP/s of what arithmetic bounds, GB/s of what memory bounds. */
export function formatRate({ flops, bytes, timing }: Row, ceilings: Report["ceilings"]): string {
  if (!timing) return "";
  const byArithmetic = flops / ceilings.f32 >= bytes / ceilings.copy;
  const rate = (byArithmetic ? flops : bytes) / timing.minMs / 1e6;
  return `${rate >= 1000 ? (rate / 1000).toFixed(1) : rate.toFixed(1)} ${rate >= 1000 ? "T" : "G"}${
    byArithmetic ? "FLOP" : "B"
  }/s`;
}

/** One row as it comes. */
export function rowLine(row: Row, ceilings: Report["ceilings"]): string {
  const { timing, share, ok, note } = row;
  const parts = [`${groupOf(row)} ${row.name}:`];
  if (timing) parts.push(`${formatMs(timing.minMs)}, ${formatRate(row, ceilings)}, ${(100 * share!).toFixed(0)}%`);
  if (!ok) parts.push(`NOT OK: ${note}`);
  return parts.join(" ");
}

/** How many times faster than the best right peer of its group; nothing without one. */
export function ratioToPeers(rows: readonly Row[], row: Row, names: (name: string) => boolean): number | undefined {
  const group = groupOf(row);
  const peers = rows.filter((peer) =>
    peer.kind === "peer" && peer.ok && peer.timing && groupOf(peer) === group && names(peer.name)
  );
  if (!row.timing || peers.length === 0) return undefined;
  return Math.min(...peers.map(({ timing }) => timing!.minMs)) / row.timing.minMs;
}

/** All rows under the ceilings of the run. */
export function formatReport(
  { machine, ceilings, rows, host, firstPicture, skipped, date, commit, seconds }: Report,
): string {
  const giga = (value: number) => (value / 1e9).toFixed(1);
  const head = [
    `${machine.device} through ${machine.backend}${
      machine.driver ? `, ${machine.driver}` : ""
    }; ${machine.cores} cores, ` +
    `Deno ${machine.deno}, commit ${commit}, ${date.slice(0, 10)}, ${seconds.toFixed(0)} s`,
    `ceilings: ${giga(ceilings.f32)} GFLOP/s in f32${ceilings.f16 ? `, ${giga(ceilings.f16)} in f16` : ""}, copy ` +
    `${giga(ceilings.copy)} GB/s; an empty round trip takes ${formatMs(ceilings.roundTripMs)}`,
  ];
  const cells = rows.map((row) => [
    groupOf(row),
    row.name,
    row.timing ? formatMs(row.timing.minMs) : "",
    row.timing ? formatMs(row.timing.medianMs) : "",
    formatRate(row, ceilings),
    row.floorMs ? formatMs(row.floorMs) : "",
    row.share ? `${(100 * row.share).toFixed(0)}%` : "",
    row.error === undefined ? "" : row.error.toExponential(0),
    row.ok ? row.timing?.clock === "wall" ? "wall clock" : "" : `NOT OK: ${row.note}`,
  ]);
  const header = ["", "", "best", "median", "rate", "floor", "of it", "error", ""];
  const tail = [];
  if (host) {
    tail.push(`host: ${host.dispatchUs.toFixed(1)} us a dispatch`);
    if (host.step) {
      const { recordMs, stepMs, dispatches } = host.step;
      tail.push(
        `host: a step's ${dispatches} dispatches are recorded in ${formatMs(recordMs)}, ` +
          `${(100 * recordMs / stepMs).toFixed(1)}% of the step's ${formatMs(stepMs)}`,
      );
    }
  }
  if (firstPicture) {
    const { coldMs, warmMs, note } = firstPicture;
    tail.push(`first picture (${note}): ${formatMs(coldMs)} with empty caches, ${formatMs(warmMs)} after that`);
  }
  if (skipped.length > 0) tail.push(...skipped.map((line) => `left out: ${line}`));
  return [...head, ...(cells.length > 0 ? [formatTable(header, cells, [2, 3, 4, 5, 6, 7])] : []), ...tail].join("\n");
}
