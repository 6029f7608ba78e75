// `./pixart bench`: kernels and networks measured, beside peers where asked. In: the words of the command line. Out: a table, or one
// JSON document; files where they are asked for. Exit status 0, 1 (something failed or came out wrong) or 2 (bad usage).

// deno-lint-ignore no-import-prefix -- as everywhere in this project
import { Command, CommanderError, InvalidArgumentError, Option } from "npm:commander@15.1.0";
import { cancellable } from "../src/cli/cancel.ts";
import { EXIT, Output, tellError } from "../src/cli/output.ts";
import { UsageError } from "../src/errors.ts";
import type { Backend } from "../src/gpu/backend.ts";
import { writeFileWhole } from "../src/io/output_file.ts";
import { PEERS } from "./peers/race.ts";
import { plotReport } from "./plot.ts";
import type { Report } from "./report.ts";
import { runBench } from "./run.ts";
import { formatReport } from "./table.ts";
import { benchTiles, formatTileReport, TILES_FOLDER } from "./tiles.ts";

interface BenchFlags {
  quick?: boolean;
  tiles?: boolean;
  write?: true | string;
  peers?: true | string;
  backend?: Backend;
  limit?: number;
  pytorch?: string;
  out?: string;
  plot?: string;
  debug?: boolean;
}

const ABOUT = [
  "Measures kernels and networks of PixArt on this machine's GPU, with random weights of the real extents.",
  "Every result is checked. Words choose what is measured: ops (matmul, attention, conv2d, ...), networks",
  "(block, step, t5, vae), sizes of the picture (256, 512, 1024), types of weights (f32, f16, ...), or ops,",
  "networks, picture. Without words it is everything, which takes minutes; on a CPU the largest are left",
  "out unless their size is named.",
].join(" ");

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

/** The peers that a run is asked for. */
function peersOf(given: BenchFlags["peers"]): readonly string[] {
  if (given === undefined || given === true) return given ? PEERS : [];
  const names = given.split(",");
  const unknown = names.find((name) => !PEERS.includes(name));
  if (unknown === undefined) return names;
  throw new UsageError(`Cannot race ${unknown} as peers are ${PEERS.join(", ")}: it is none of them`);
}

/** Options that are of one kind of run only. */
function checkFlags(flags: BenchFlags): void {
  const others = (["quick", "peers", "pytorch", "plot"] as const).find((name) => flags[name] !== undefined);
  if (flags.tiles && others) {
    throw new UsageError(`Cannot measure tiles with --${others} as it is for ops and networks`);
  }
  if (!flags.tiles && flags.write) throw new UsageError("Cannot --write as it is for --tiles: that is not given");
}

/** Writes a text so that the file is whole at any time: the run may be cut off. */
async function writeWhole(path: string, text: string): Promise<void> {
  await writeFileWhole(path, { overwrite: true }, (file) => file.append(new TextEncoder().encode(text)));
}

async function bench(words: readonly string[], flags: BenchFlags, output: Output): Promise<number> {
  const { quick, backend, limit, out, plot } = flags;
  const peers = peersOf(flags.peers);
  const pytorch = flags.pytorch ? JSON.parse(await Deno.readTextFile(flags.pytorch)) : undefined;
  const save = async (report: Report) => {
    if (out) await writeWhole(out, JSON.stringify(report, null, 1) + "\n");
    if (plot) await writeWhole(plot, plotReport(report));
  };
  const report = await cancellable("bench", (signal) => {
    const log = (line: string) => output.log(line);
    return runBench(words, { quick, backend, limit, peers, pytorch, signal, log, onProgress: save });
  });
  await save(report);
  output.print(formatReport(report));
  output.document(report);
  return report.rows.every((row) => row.ok || row.kind === "peer") ? EXIT.ok : EXIT.failed;
}

/** Measures the tiles that kernels may have. */
async function tiles(words: readonly string[], flags: BenchFlags, output: Output): Promise<number> {
  const { backend, limit, write, out } = flags;
  const folder = write === true ? TILES_FOLDER : write;
  const log = (line: string) => output.log(line);
  const report = await cancellable("bench", (signal) => benchTiles(words, { backend, limit, folder, signal, log }));
  if (out) await writeWhole(out, JSON.stringify(report, null, 1) + "\n");
  output.print(formatTileReport(report));
  output.document(report);
  return report.rows.every(({ ok }) => ok) ? EXIT.ok : EXIT.failed;
}

/** Runs the command line and returns the exit status. */
export async function runBenchCommand(args: readonly string[]): Promise<number> {
  const output = new Output(args.includes("--json"));
  let help = "", exitCode: number = EXIT.ok;
  const command = new Command("./pixart bench").description(ABOUT).exitOverride()
    .configureOutput({ writeOut: (text) => void (help += text), writeErr: () => {} })
    .argument("[words...]", "what to measure")
    .option("--quick", "the few cases that are measured in a minute")
    .option("--tiles", "measure every tile that a kernel may have, at PixArt's shapes, and say which is fastest")
    .option("--write [folder]", "with --tiles: write what was found to src/ops/tiles, or to files of those names there")
    .option("--peers [names]", `race other libraries at the same work: ${PEERS.join(", ")}; all when not named`)
    .option("--pytorch <file>", "lay beside what bench/peers/pytorch.py --json wrote on this machine")
    .addOption(new Option("--backend <name>", "which WebGPU").choices(["deno", "dawn", "auto"]))
    .option("--limit <seconds>", "begin nothing new after that time", seconds)
    .option("--out <file>", "write the JSON document there, also on the way")
    .option("--plot <file>", "draw the rates there, as SVG")
    .option("--json", "print one JSON document on stdout, and all else on stderr")
    .option("--debug", "when something fails, print where")
    .helpOption("-h, --help", "print this")
    .action(async (words: string[], flags: BenchFlags) => {
      checkFlags(flags);
      exitCode = await (flags.tiles ? tiles : bench)(words, flags, output);
    });
  try {
    await command.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      output.print(help.trimEnd());
      output.document({ help });
      return EXIT.ok;
    }
    const told = error instanceof CommanderError
      ? tellError(
        new UsageError(`Cannot run bench as its arguments must be valid: ${error.message.replace(/^error: /, "")}`),
      )
      : tellError(error);
    output.log(told.message);
    if (args.includes("--debug")) console.error(error);
    output.document({ error: { kind: told.kind, message: told.message }, exitCode: told.exitCode });
    return told.exitCode;
  }
  return exitCode;
}

// An explicit exit, since a WebGPU implementation may keep the process alive after its last use.
if (import.meta.main) Deno.exit(await runBenchCommand(Deno.args));
