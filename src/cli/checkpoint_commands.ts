// The commands about checkpoints and their options: convert, inspect, merge, make-random. In: the program. Out: the program with them.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { type Command, Option } from "npm:commander@15.1.0";
import { MODEL_KINDS } from "../checkpoints/open_model.ts";
import { REAL_MODELS } from "../checkpoints/real_models.ts";
import { addSourceOptions, addTargetOptions, type NumberReaders } from "./checkpoint_options.ts";
import type { ConvertFlags } from "./convert_command.ts";
import type { InspectFlags } from "./inspect_command.ts";
import { addLoraChoice, type LoraChoice } from "./loras.ts";
import type { MakeRandomFlags } from "./make_random_command.ts";
import type { MergeFlags } from "./merge_command.ts";
import type { Output } from "./output.ts";

/** What a command of the program is made with. */
export interface CommandTools extends NumberReaders {
  program: Command;
  /** Adds the options that every command has. */
  common(command: Command): Command;
  /** Runs what an action does. */
  run(work: (output: Output) => Promise<void>): Promise<void>;
}

/** Adds the commands to the program. */
export function addCheckpointCommands(tools: CommandTools): void {
  addConvert(tools);
  addInspect(tools);
  addMerge(tools);
  addMakeRandom(tools);
}

function addConvert(tools: CommandTools): void {
  const command = tools.program.command("convert")
    .description("write a checkpoint in another layout, format or dtype")
    .argument("<input>", "a file (.pth, .safetensors, .gguf, .bin), a component's folder, or a pipeline's folder");
  addTargetOptions(command, tools)
    .option("--vae <path>", "with a transformer: write a whole pipeline with this autoencoder")
    .option("--text-encoder <path>", "with a transformer: write a whole pipeline with this T5")
    .option("--tokenizer <folder>", "the tokenizer of the pipeline; found with the text encoder when not given")
    .option(
      "--lora <file:scale>",
      "a LoRA or DoRA to fuse in, with its scale when it is not 1; may be given several times",
      addLoraChoice,
      undefined as LoraChoice[] | undefined,
    );
  addSourceOptions(command, tools);
  tools.common(command).action((input: string, flags: ConvertFlags) =>
    tools.run(async (output) => {
      const { convert } = await import("./convert_command.ts");
      await convert(input, flags, output);
    })
  );
}

function addInspect(tools: CommandTools): void {
  const command = tools.program.command("inspect").description("say what a checkpoint is, and list its tensors")
    .argument("<path>", "a file in any format, a component's folder, or a pipeline's folder")
    .option("--no-tensors", "leave the list out");
  addSourceOptions(command, tools);
  tools.common(command).action((path: string, flags: InspectFlags) =>
    tools.run(async (output) => {
      const { inspect } = await import("./inspect_command.ts");
      await inspect(path, flags, output);
    })
  );
}

function addMerge(tools: CommandTools): void {
  const command = tools.program.command("merge").description("mix the weights of two transformers")
    .argument("<a>", "a transformer, a file or folder in any layout")
    .argument("<b>", "another of the same extents")
    .requiredOption("--ratio <r>", "how much of the second: 0 is the first, 1 the second", tools.number);
  addTargetOptions(command, tools);
  addSourceOptions(command, tools);
  tools.common(command).action((a: string, b: string, flags: MergeFlags) =>
    tools.run(async (output) => {
      const { merge } = await import("./merge_command.ts");
      await merge(a, b, flags, output);
    })
  );
}

function addMakeRandom(tools: CommandTools): void {
  const command = tools.program.command("make-random")
    .description("write a random checkpoint of a real network's extents")
    .argument("<name>", `one of ${REAL_MODELS.join(", ")}`)
    .option("--seed <n>", "the same seed gives the same bytes", tools.whole, 0)
    .addOption(
      new Option(
        "--component <name>",
        "of the pipeline that the transformer is released in; the named network otherwise",
      )
        .choices([...MODEL_KINDS, "pipeline"]),
    )
    .option("--tokenizer <folder>", "the tokenizer of a pipeline; the embedded model's when not given");
  addTargetOptions(command, tools);
  tools.common(command).action((name: string, flags: MakeRandomFlags) =>
    tools.run(async (output) => {
      const { makeRandomModel } = await import("./make_random_command.ts");
      await makeRandomModel(name, flags, output);
    })
  );
}
