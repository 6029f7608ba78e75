// Races the peers at what was just measured. In: cases with what their results must be. Out: a row for each peer and case. A peer
// runs in a process of its own; one that crashes, hangs or computes something else gets a row that says so.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { relativeL2, type Sample } from "../../src/tune/work.ts";
import type { Case } from "../case.ts";
import { emptyRow, withTiming } from "../contest.ts";
import type { Report, Row } from "../report.ts";
import { lines } from "./lines.ts";
import type { PeerJobFile, PeerLine } from "./protocol.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const WEBGPU_PEERS = ["jax-js", "tfjs", "onnxruntime-web", "onnxruntime-web plain"];
const PYTORCH = "PyTorch";

/** Whether a peer takes part in a kind of work: the plain graphs differ from the fused ones in attention only. */
function takesPart(name: string, { job: { kind, inputs } }: Entry): boolean {
  if (name === PYTORCH) return true;
  return inputs !== "" && (name !== "onnxruntime-web plain" || kind === "attention" || kind === "block");
}

/** The names of all peers. */
export const PEERS: readonly string[] = [...WEBGPU_PEERS, PYTORCH];

/** A case, and what its result must be. */
export interface Raced {
  case: Case;
  reference?: Sample;
}

/** What a race is given beside its cases. */
export interface RaceOptions {
  /** The peers that take part. */
  peers: readonly string[];
  report: Report;
  signal: AbortSignal;
  log(line: string): void;
  /** Told each row. */
  onRow(row: Row): void;
}

/** Relative L2 error up to which a peer is right: it may take other roads than we do, keep its weights better, and use halves. */
const toleranceOf = (name: string, { tolerance }: Case) => Math.max(tolerance, /fp16|bf16/.test(name) ? 2e-2 : 1e-3);

interface Entry extends Raced {
  job: PeerJobFile;
}

/** Each kind of work once, whatever the type of our weights. */
function once(raced: readonly Raced[]): Raced[] {
  const seen = new Set<string>();
  return raced.filter(({ case: { op, shape, peer } }) => {
    const isNew = peer !== undefined && !seen.has(`${op} ${shape}`);
    seen.add(`${op} ${shape}`);
    return isNew;
  });
}

async function writeJob({ case: each, reference }: Raced, path: string, budgetMs: number): Promise<PeerJobFile> {
  const { op, shape, peer } = each;
  const { kind, extents, inputs } = peer!;
  if (inputs) {
    const arrays = Object.entries(await inputs()).map(([name, array]) => [name, { dtype: "F32", ...array }] as const);
    await Deno.writeFile(path, encodeSafetensors(Object.fromEntries(arrays)));
  }
  // Without our inputs a peer's result is another, perhaps of another size.
  const places = inputs ? [...reference?.places ?? []] : [];
  return { op, shape, kind, extents, inputs: inputs ? path : "", places, budgetMs };
}

function commandOf(name: string, backend: string, file: string): { program: string; args: string[] } {
  if (name === PYTORCH) {
    return { program: Deno.env.get("PIXART_PYTHON") ?? "python3", args: [join(HERE, "pytorch.py"), "--jobs", file] };
  }
  // Dawn is no peer, and stands in no lock of theirs.
  const lock = backend === "deno" ? [`--lock=${join(HERE, "deno.lock")}`, "--frozen"] : ["--no-lock"];
  const config = ["--config", join(HERE, "deno.json"), ...lock];
  return {
    program: Deno.execPath(),
    args: ["run", "-A", "--quiet", "--no-check", ...config, join(HERE, "peer.ts"), name, backend, file],
  };
}

/** How a process ended, and whether it was killed at its work, by a crash or for being late. */
interface End {
  why: string;
  killed: boolean;
}

/** Answers of one process, until it ends or takes too long for one of them. */
async function* answers(
  command: ReturnType<typeof commandOf>,
  seconds: number,
  signal: AbortSignal,
): AsyncGenerator<PeerLine, End> {
  let child;
  try {
    child = new Deno.Command(command.program, { args: command.args, stdin: "null", stdout: "piped", stderr: "piped" })
      .spawn();
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error), killed: false };
  }
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // it has ended by itself
    }
  };
  signal.addEventListener("abort", kill);
  const errors = new Response(child.stderr).text();
  let late = false;
  const alarm = () =>
    setTimeout(() => {
      late = true;
      kill();
    }, seconds * 1000);
  let timer = alarm();
  try {
    for await (const line of lines(child.stdout)) {
      clearTimeout(timer);
      yield JSON.parse(line) as PeerLine;
      timer = alarm();
    }
  } finally {
    clearTimeout(timer);
    kill();
    signal.removeEventListener("abort", kill);
  }
  const { code, signal: killed } = await child.status;
  const last = (await errors).trim().split("\n").pop() ?? "";
  if (late) return { why: `no answer in ${seconds} s`, killed: true };
  const words = killed || !last ? "" : `: ${last.slice(0, 200)}`;
  return { why: `its process ended with ${killed ?? `status ${code}`}${words}`, killed: killed !== null };
}

function rowOf(name: string, { case: each, reference }: Raced, line: PeerLine, report: Report): Row {
  const row = { ...emptyRow(each, "peer", line.name ?? name), note: line.note };
  if (!line.timing) return row;
  row.ok = true;
  if (line.values && reference) {
    row.error = relativeL2(line.values, reference.values);
    row.ok = row.error <= toleranceOf(row.name, each);
    if (!row.ok) row.note = `wrong: off by ${row.error.toExponential(1)}`;
  } else {
    row.note = "weights of its own: the result is not compared";
  }
  return withTiming(row, line.timing, report.ceilings);
}

async function raceOne(name: string, entries: readonly Entry[], folder: string, options: RaceOptions): Promise<void> {
  const { report, signal, log, onRow } = options;
  const { backend, software } = report.machine;
  const left = [...entries];
  for (let useless = false; left.length > 0 && !useless;) {
    const file = join(folder, "jobs.json");
    await Deno.writeTextFile(file, JSON.stringify(left.map(({ job }) => job)));
    const process = answers(commandOf(name, backend, file), software ? 180 : 40, signal);
    let turn = await process.next();
    const silent = turn.done === true;
    for (; !turn.done; turn = await process.next()) onRow(rowOf(name, left.shift()!, turn.value, report));
    signal.throwIfAborted();
    if (left.length === 0) break;
    const { why, killed } = turn.value;
    log(`${name}: ${why}`);
    useless = silent && !killed;
    if (useless) report.skipped.push(`${name}: ${why}`);
    else onRow(rowOf(name, left.shift()!, { note: why }, report));
  }
}

/** Races them; a peer that cannot be started is named among what was left out. */
export async function race(raced: readonly Raced[], options: RaceOptions): Promise<void> {
  const { peers, report: { machine } } = options;
  const folder = await Deno.makeTempDir({ prefix: "pixart-peers-" });
  try {
    const entries: Entry[] = [];
    for (const each of once(raced)) {
      const path = join(folder, `${entries.length}.safetensors`);
      entries.push({ ...each, job: await writeJob(each, path, machine.software ? 1500 : 300) });
    }
    for (const name of peers) {
      await raceOne(name, entries.filter((entry) => takesPart(name, entry)), folder, options);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
