// The commands and their options. In: the words of the command line. Out: the command run, its exit status; what is wrong with
// the words in one line.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { Command, CommanderError, Option } from "npm:commander@15.1.0";
import packageJson from "../../deno.json" with { type: "json" };
import { UsageError } from "../errors.ts";
import { WEIGHT_DTYPES } from "../ops/weight_kernels.ts";
import { PRESETS } from "../pipelines/presets.ts";
import { addCheckpointCommands } from "./checkpoint_commands.ts";
import { DISTILLED } from "./distilled.ts";
import type { DoctorFlags } from "./doctor_command.ts";
import type { DownloadFlags } from "./download_command.ts";
import type { GenerateFlags } from "./generate_command.ts";
import { finiteNumber, wholeNumber } from "./option_numbers.ts";
import { addMemoryOptions } from "./memory_options.ts";
import { addPictureOptions } from "./picture_options.ts";
import { addLoraChoice, type LoraChoice } from "./loras.ts";
import { EXIT, Output, tellError } from "./output.ts";
import { formatTable } from "./table.ts";
import type { VerifyFlags } from "./verify_command.ts";

// What is started by another program than this one, but is listed with the rest.
const LAUNCHER_WORDS = {
  bench: "measure kernels and networks on this machine",
  test: "run the test suite",
  setup: "install what is missing, and print the path of Deno",
};

const CLOSING = `
Examples:
  ./pixart generate "a red apple on a blue background"
  ./pixart generate "a panda" --seed 7 --num-images 4 --out pandas/
  ./pixart generate --batch prompts.txt --out pictures/ --grid sheet.png
  ./pixart doctor`;

const backendOption = () =>
  new Option("--backend <name>", "which WebGPU runs the kernels; PIXART_BACKEND when not given")
    .choices(["deno", "dawn", "auto"]);
const dtypeOption = (about: string, ...more: string[]) =>
  new Option("--dtype <type>", about).choices([...WEIGHT_DTYPES, ...more]);

function addCommon(command: Command): Command {
  return command
    .option("--json", "print one JSON document on stdout, and all else on stderr")
    .option("--debug", "when something fails, print where")
    .helpOption("-h, --help", "print this");
}

function addGenerate(program: Command, run: Run): void {
  const command = program.command("generate").description("make pictures from a prompt, or from many")
    .argument("[prompt]", "what the picture shows, in quotes")
    .option("--model <folder>", "a checkpoint in diffusers' layout, a folder or URL; the embedded one when not given")
    .option("--out <path>", "a .png file, or a folder (ends in / or is one); the current folder when not given")
    .option(
      "--name <template>",
      "what pictures in a folder are called, of {slug} {prompt} {seed} {line} {steps} {guidance}, cut as in {prompt[:100]}",
    )
    .option("--batch <file>", "a prompt a line, each with options of its own, or JSONL; what is there is left out")
    .option("--grid <file>", "put all pictures on a contact sheet, too")
    .option("--preview <file>", "show the picture under way in this file, after each step")
    .option("--like <picture>", "take from a picture of this program what is not said otherwise");
  addPictureOptions(command)
    .addOption(dtypeOption("how weights are kept: f32 is the reference, f16 half the memory, int8 and int4 less"))
    .addOption(backendOption())
    .option(
      "--lora <file:scale>",
      "a LoRA or DoRA, a file or folder, with its scale when it is not 1; may be given several times",
      addLoraChoice,
      undefined as LoraChoice[] | undefined,
    )
    .option(
      "--controlnet <model>",
      "a ControlNet of the model: a file, a folder, a URL, or a name of ./pixart download",
    )
    .option("--hed <model>", "show it the edges that this detector finds: a file, a URL, or alpha-controlnet-hed")
    .option("--overwrite", "write over files that are there");
  addMemoryOptions(command).addOption(
    new Option("--distilled <way>", "sample a model distilled so; when not given, as its name says").choices(DISTILLED),
  );
  addCommon(command).action((prompt: string | undefined, flags: GenerateFlags) =>
    run(async (output) => {
      const { generate } = await import("./generate_command.ts");
      const isGiven = (key: string) => command.getOptionValueSource(key) === "cli";
      return await generate(prompt, flags, new Set(Object.keys(flags).filter(isGiven)), output);
    })
  );
}

function addVerify(program: Command, run: Run): void {
  const command = program.command("verify").description("compare components with numbers recorded elsewhere")
    .argument("<dir...>", "folders with a component and its reference numbers")
    .option(
      "--tolerance <x>",
      "largest relative L2 error that passes (default: 1e-4; 1e-3 for a whole pipeline; 1e-2 with f16, 2e-2 with int8, 2e-1 with int4)",
      finiteNumber(0),
    )
    .addOption(dtypeOption("how weights are kept; stored: blocks as the file has them", "stored").default("f32"))
    .addOption(backendOption());
  addCommon(command).action((folders: string[], flags: VerifyFlags) =>
    run(async (output) => {
      const { verify } = await import("./verify_command.ts");
      return await verify(folders, flags, output);
    })
  );
}

function addDoctor(program: Command, run: Run): void {
  const command = program.command("doctor").description(
    "say what this machine has, and test its kernels",
  )
    .addOption(backendOption())
    .option(
      "--tune",
      "measure for a minute which tiles of kernels suit this adapter best, and keep that for later runs",
    )
    .option("--limit <seconds>", "with --tune: measure nothing new after that time", finiteNumber(0))
    .option("--forget", "forget what --tune has kept of this adapter");
  addCommon(command).action((flags: DoctorFlags) =>
    run(async (output) => {
      const { doctor } = await import("./doctor_command.ts");
      return await doctor(flags, output);
    })
  );
}

function addDownload(program: Command, run: Run): void {
  const names = PRESETS.map(({ name, about, id }) => [name, about, id]);
  const command = program.command("download").description("download a model into the cache of Hugging Face's tools")
    .argument("<model>", "one of the names below, or org/name on the hub")
    .option("--revision <name>", "a branch, a tag or a commit")
    .option(
      "--component <name>",
      "only this folder or file of the model; may be given several times",
      (name, others) => {
        return [...others ?? [], name];
      },
      undefined as string[] | undefined,
    )
    .option("--variant <name>", "another form of the weights where there is one, such as fp16")
    .option("--cache-dir <folder>", "the cache; HF_HUB_CACHE or HF_HOME when not given")
    .addHelpText("after", `\nModels:\n${formatTable(["", "", ""], names)}`);
  addCommon(command).action((model: string, flags: DownloadFlags) =>
    run(async (output) => {
      const { download } = await import("./download_command.ts");
      await download(model, flags, output);
      return EXIT.ok;
    })
  );
}

function addLauncherWords(program: Command): void {
  for (const [name, about] of Object.entries(LAUNCHER_WORDS)) {
    program.command(name).description(about).argument("[word...]").allowUnknownOption().action(() => {
      throw new UsageError(`Cannot run ${name} from here as the launcher does it: run ./pixart ${name}`);
    });
  }
}

type Run = (command: (output: Output) => Promise<number>) => Promise<void>;

/** Words before a `--`; behind it they are no options. */
const optionsOf = (args: readonly string[]) => args.slice(0, args.indexOf("--") < 0 ? undefined : args.indexOf("--"));

/** What commander says of bad words, as one line that ends with where to look. */
function usageLine(error: CommanderError, command: string | undefined): string {
  const state = error.message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ").replace(/\.$/, "");
  const hint = error.code === "commander.excessArguments" && command === "generate"
    ? "put the prompt in quotes"
    : `see ./pixart ${command ? `${command} ` : ""}--help`;
  return `Cannot run ${command ?? "pixart"} as its arguments must be valid: ${state}; ${hint}`;
}

/**
 * Runs the command line.
 *
 * @param args Its words, without the program's name.
 * @returns The exit status: 0, 1 (failed), 2 (bad usage), or 128 and the number of the signal that stopped it.
 */
export async function runProgram(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  const output = new Output(options.includes("--json"));
  let exitCode: number = EXIT.ok, help = "";
  const run: Run = async (command) => void (exitCode = await command(output));

  const program = new Command("./pixart").exitOverride().showHelpAfterError(false).configureOutput({
    writeOut: (text) => void (help += text),
    writeErr: () => {}, // told below, in one line
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  program.description("Makes pictures from text with PixArt, on WebGPU.")
    .version(packageJson.version, "--version", "print the version")
    .helpOption("-h, --help", "print this")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", CLOSING);
  addGenerate(program, run);
  addVerify(program, run);
  addDoctor(program, run);
  addDownload(program, run);
  addCheckpointCommands({
    program,
    common: addCommon,
    run: (work) => run(async (output) => (await work(output), EXIT.ok)),
    whole: wholeNumber(0),
    number: finiteNumber(0),
  });
  addLauncherWords(program);

  const name = program.commands.find((command) => command.name() === args[0])?.name();
  try {
    if (args.every((word) => word === "--json" || word === "--debug")) program.outputHelp();
    else await program.parseAsync(args, { from: "user" });
  } catch (error) {
    const isHelp = error instanceof CommanderError && error.exitCode === 0;
    if (!isHelp) {
      const told = error instanceof CommanderError
        ? { kind: "UsageError", message: usageLine(error, name), exitCode: EXIT.usage }
        : tellError(error);
      output.log(told.message);
      if (options.includes("--debug")) console.error(error);
      output.document({ error: { kind: told.kind, message: told.message }, exitCode: told.exitCode });
      return told.exitCode;
    }
  }
  if (help) {
    const text = help.trimEnd();
    output.print(text);
    output.document(options.includes("--version") ? { version: packageJson.version } : { help: text });
  }
  return exitCode;
}
