// A report as a picture. In: a report. Out: SVG: a line for each kind of work, on it a dot for each contestant, further right for faster.

import { groupOf, type Report, type Row } from "./report.ts";
import { formatRate, rateOf } from "./table.ts";

const WIDTH = 960, LEFT = 330, RIGHT = 30, LINE = 22, TOP = 56;

const COLOURS: readonly [match: RegExp, colour: string, label: string][] = [
  [/^portable$/, "#9aa5b1", "portable"],
  [/^jax-js/, "#e07a1f", "jax-js"],
  [/^tfjs/, "#c23b3b", "tfjs"],
  [/^onnxruntime/, "#8a4fbf", "onnxruntime-web"],
  [/^PyTorch/, "#1f6fd1", "PyTorch"],
];
const OURS = { colour: "#17834a", label: "this project" };

const styleOf = ({ name, kind }: Row) => {
  const found = kind === "chosen" ? undefined : COLOURS.find(([match]) => match.test(name));
  return found ? { colour: found[1], label: found[2] } : OURS;
};

const escaped = (text: string) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function text(x: number, y: number, words: string, more = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${more ? ` ${more}` : ""}>${escaped(words)}</text>`;
}

/** Draws the rows that were right and timed. */
export function plotReport({ rows, ceilings, machine, date, commit }: Report): string {
  const timed = rows.filter((row) => row.ok && row.timing);
  const groups = [...new Set(timed.map(groupOf))];
  const rates = timed.map((row) => Math.log10(rateOf(row, ceilings).giga));
  const [low, high] = [Math.floor(Math.min(0, ...rates)), Math.ceil(Math.max(1, ...rates))];
  const across = (log: number) => LEFT + (log - low) / (high - low) * (WIDTH - LEFT - RIGHT);
  const height = TOP + groups.length * LINE + 30;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(10, 20, `${machine.device} through ${machine.backend}, ${date.slice(0, 10)}, commit ${commit}; FLOP/s or B/s`),
  ];
  const labels = new Map(timed.map((row) => [styleOf(row).label, styleOf(row).colour]));
  [...labels].forEach(([label, colour], i) => {
    out.push(`<circle cx="${16 + i * 130}" cy="36" r="5" fill="${colour}"/>`, text(26 + i * 130, 40, label));
  });
  for (let log = low; log <= high; log++) {
    const x = across(log).toFixed(1);
    out.push(`<line x1="${x}" x2="${x}" y1="${TOP}" y2="${height - 24}" stroke="#dde3ea"/>`);
    out.push(text(across(log), height - 8, `${10 ** log} G/s`, `text-anchor="middle" fill="#5b6673"`));
  }
  groups.forEach((group, i) => {
    const y = TOP + (i + 0.5) * LINE;
    out.push(text(10, y + 4, group));
    for (const row of timed.filter((each) => groupOf(each) === group)) {
      const x = across(Math.log10(rateOf(row, ceilings).giga)).toFixed(1);
      const title = escaped(`${row.name}: ${formatRate(row, ceilings)}`);
      out.push(`<circle cx="${x}" cy="${y}" r="5" fill="${styleOf(row).colour}"><title>${title}</title></circle>`);
    }
  });
  return [...out, "</svg>"].join("\n") + "\n";
}
