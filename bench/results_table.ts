// The results that are kept, and README's table of them. In: runs of the bench as JSON. Out: one file a device and day in results/, and
// the section of README between the two markers, which is made from the newest file of each device.
//
//   deno run -A bench/results_table.ts                writes README's section anew
//   deno run -A bench/results_table.ts RUN.json...    adds runs to results/ first, in the place of older ones of the same day and words

import { fileURLToPath } from "node:url";
import type { Report, Row } from "./report.ts";
import { formatDispatchCost, formatMs, formatRate, formatRecording, isWebGpuPeer, ratioToPeers } from "./table.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const RESULTS = `${ROOT}bench/results/`;
const README = `${ROOT}README.md`;
const MARKERS = ["<!-- made by bench/results_table.ts -->", "<!-- end of what it made -->"] as const;

/** Runs on one device on one day. */
export interface Results {
  reports: Report[];
}

/** What a file of results is called: `2026-11-27-nvidia-h100.json`; a driver on the CPU is known with its processor. */
export function fileNameOf({ date, machine: { device, processor = "" } }: Report): string {
  const words = /llvmpipe/i.test(device) ? `lavapipe ${processor}` : device;
  return `${date.slice(0, 10)}-${words.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "")}.json`;
}

const isSameRun = (a: Report, b: Report) => a.machine.backend === b.machine.backend && `${a.words}` === `${b.words}`;

/** Puts a run among others, in the place of an older one of the same kind. */
export function withReport({ reports }: Results, report: Report): Results {
  return { reports: [...reports.filter((other) => !isSameRun(other, report)), report] };
}

/** The files of the newest day of each device, devices in the order of their names, GPUs first. */
function newest(files: ReadonlyMap<string, Results>): Results[] {
  const byDevice = new Map<string, string>();
  for (const name of [...files.keys()].sort()) byDevice.set(name.slice(11), name); // behind the date
  const software = (results: Results) => Number(results.reports[0].machine.software);
  return [...byDevice.values()].map((name) => files.get(name)!).sort((a, b) => software(a) - software(b));
}

const ratio = (value: number | undefined) => value === undefined ? "" : value.toFixed(value < 10 ? 2 : 1);

/** Whether a row belongs in the README: right, ours, and a network or something that others were raced at. */
function isTold(row: Row, rows: readonly Row[]): boolean {
  if (row.kind !== "chosen" || !row.ok || !row.timing) return false;
  return ["step", "t5", "vae", "block"].includes(row.op) || ratioToPeers(rows, row, () => true) !== undefined;
}

function rowsOf(report: Report): string[][] {
  const { rows, ceilings } = report;
  return rows.filter((row) => isTold(row, rows)).map((row) => {
    const portable = rows.find((other) =>
      other.kind === "portable" && other.ok && other.timing && other.op === row.op && other.shape === row.shape &&
      other.dtype === row.dtype
    );
    return [
      `${row.op} ${row.shape}`,
      row.dtype,
      row.name,
      formatMs(row.timing!.minMs),
      formatRate(row, ceilings),
      row.share ? `${(100 * row.share).toFixed(0)}%` : "",
      ratio(portable && portable.timing!.minMs / row.timing!.minMs),
      ratio(ratioToPeers(rows, row, isWebGpuPeer)),
      ratio(ratioToPeers(rows, row, (name) => !isWebGpuPeer(name))),
    ];
  });
}

function sentences(
  { machine, ceilings, pytorch, host, firstPicture, wholePicture, date, commit, load }: Report,
): string {
  const giga = (value: number) => value >= 1e12 ? `${(value / 1e12).toFixed(1)} T` : `${(value / 1e9).toFixed(1)} G`;
  const more = [["f16", ceilings.f16], ["subgroup matrices", ceilings.matrix]] as const;
  const told = [
    `**${machine.device}** (${machine.driver}) through ${machine.backend === "dawn" ? "Dawn" : "Deno's WebGPU"}, ${
      date.slice(0, 10)
    }, commit ${commit}, ${machine.cores} cores${
      machine.processor ? ` of an ${machine.processor}` : ""
    } with a load of up to ${Math.max(...load).toFixed(1)}.`,
    `Ceilings of the same run: ${giga(ceilings.f32)}FLOP/s in f32${
      more.map(([name, value]) => value ? `, ${giga(value)}FLOP/s in ${name}` : "").join("")
    }, a copy ${giga(ceilings.copy)}B/s.`,
  ];
  if (pytorch) {
    const { bf16, copy } = pytorch.ceilings;
    if (bf16) told.push(`PyTorch ${pytorch.torch} reaches ${giga(bf16)}FLOP/s in bf16, its copy ${giga(copy)}B/s.`);
  }
  if (host.dispatchUs) told.push(`The host spends ${formatDispatchCost(host)}.`);
  for (const step of host.steps) {
    told.push(`Recording the ${step.dispatches} dispatches of a step (${step.shape}) takes ${formatRecording(step)}.`);
  }
  if (firstPicture) {
    const { coldMs, warmMs, note } = firstPicture;
    told.push(
      `The first picture (${note}) takes ${formatMs(coldMs)} with empty caches and ${formatMs(warmMs)} after that.`,
    );
  }
  if (wholePicture) {
    const { size, steps, textEncoder, againMs } = wholePicture;
    told.push(
      `A guided picture of ${size} pixels in ${steps} steps${textEncoder ? ", T5-XXL included," : ""} takes ${
        formatMs(againMs)
      }.`,
    );
  }
  return wrapped(told.join(" "));
}

/** Lines as long as the formatter of this project makes them. */
function wrapped(text: string, width = 120): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines.join("\n");
}

/** Cells as a table in Markdown, its columns as wide as the formatter of this project makes them. */
function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, 3, ...rows.map((cells) => cells[i].length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  return [line(header), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n");
}

const HEADER = [
  "work",
  "weights",
  "kernel",
  "time",
  "rate",
  "of the ceiling",
  "x portable",
  "x best WebGPU peer",
  "x PyTorch",
];

/** What surrounds the rows of runs through one backend, as if they were one: a later run has the last word. */
function merged(a: Report, b: Report): Report {
  const ceilings = { ...a.ceilings, ...b.ceilings };
  for (const name of ["f32", "f16", "matrix", "copy"] as const) {
    ceilings[name] = Math.max(a.ceilings[name] ?? 0, b.ceilings[name] ?? 0);
  }
  const steps = new Map([...a.host.steps, ...b.host.steps].map((step) => [step.shape, step]));
  const load: Report["load"] = [Math.max(a.load[0], b.load[0]), Math.max(a.load[1], b.load[1])];
  return { ...a, ...b, ceilings, load, host: { ...a.host, ...b.host, steps: [...steps.values()] } };
}

const byBackend = (reports: readonly Report[]): Report[][] => [
  ...Map.groupBy(reports, ({ machine }) => machine.backend).values(),
];

/** Rows of runs through one backend: ratios are those within a run, and a later run replaces the same row of an earlier one. */
function rowsOfAll(runs: readonly Report[]): string[][] {
  return [...new Map(runs.flatMap(rowsOf).map((cells) => [`${cells[0]} ${cells[1]}`, cells])).values()];
}

/** README's section: for each device what was measured, and how many times faster than others that is. */
export function performanceSection(files: ReadonlyMap<string, Results>): string {
  const parts = newest(files).flatMap(({ reports }) =>
    byBackend(reports).flatMap((runs) => {
      const rows = rowsOfAll(runs);
      return [sentences(runs.reduce(merged)), ...(rows.length > 0 ? [markdownTable(HEADER, rows)] : [])];
    })
  );
  return parts.join("\n\n");
}

/** All files in results/. */
export function readResults(): Map<string, Results> {
  const names = [...Deno.readDirSync(RESULTS)].map(({ name }) => name).filter((name) => name.endsWith(".json"));
  return new Map(names.map((name) => [name, JSON.parse(Deno.readTextFileSync(RESULTS + name)) as Results]));
}

/**
 * A text with the section between its markers in place of what stood there.
 *
 * @throws {Error} when the markers are missing.
 */
export function withSection(text: string, section: string): string {
  const [start, end] = MARKERS.map((marker) => text.indexOf(marker));
  if (start < 0 || end < start) throw new Error(`Cannot write results as the text must hold ${MARKERS.join(" and ")}`);
  return `${text.slice(0, start)}${MARKERS[0]}\n\n${section}\n\n${text.slice(end)}`;
}

if (import.meta.main) {
  for (const path of Deno.args) {
    const report = JSON.parse(Deno.readTextFileSync(path)) as Report;
    const name = fileNameOf(report);
    const results = withReport(readResults().get(name) ?? { reports: [] }, report);
    Deno.writeTextFileSync(RESULTS + name, JSON.stringify(results) + "\n");
    console.log(`${path} -> bench/results/${name}, ${results.reports.length} runs`);
  }
  Deno.writeTextFileSync(README, withSection(Deno.readTextFileSync(README), performanceSection(readResults())));
}
