// What the commands that read and write checkpoints have in common. In: words of the command line. Out: options of the functions
// that do the work, and lines about what was done.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { type Command, Option } from "npm:commander@15.1.0";
import { MODEL_KINDS, type ModelKind, type OpenModelOptions } from "../checkpoints/open_model.ts";
import { FORMATS, type ModelFormat, type WrittenModel } from "../checkpoints/write_model.ts";
import { UsageError } from "../errors.ts";
import { formatBytes } from "../io/byte_words.ts";
import { isTargetDType, type TargetDType } from "../io/cast_weights.ts";
import type { Output } from "./output.ts";
import { formatSeconds } from "./progress.ts";

/** What a user says of a checkpoint that does not say it itself. */
export interface SourceFlags {
  variant?: string;
  ema?: boolean;
  imageSize?: number;
  family?: "alpha" | "sigma";
  heads?: number;
  scalingFactor?: number;
  component?: ModelKind;
}

/** How a checkpoint is written. */
export interface TargetFlags {
  out: string;
  format?: ModelFormat;
  dtype?: string;
  shardSize?: number;
  overwrite?: boolean;
}

/** How numbers on the command line are read. */
export interface NumberReaders {
  whole(text: string): number;
  number(text: string): number;
}

/** Adds the options about a checkpoint that is read. */
export function addSourceOptions(command: Command, { whole, number }: NumberReaders): Command {
  return command
    .option("--variant <name>", "another form of the weights, such as fp16; found without where there is only one")
    .option("--ema", "read the averaged weights of a torch file")
    .option(
      "--image-size <pixels>",
      "what a transformer without a config was trained for: 256, 512, 1024 or 2048",
      whole,
    )
    .addOption(
      new Option("--family <name>", "whether a transformer without a config is a PixArt-alpha or a PixArt-Sigma")
        .choices(["alpha", "sigma"]),
    )
    .option("--heads <n>", "attention heads of a transformer without a config whose width 72 does not divide", whole)
    .option("--scaling-factor <x>", "the scale of a VAE without a config: 0.18215 of SD's, 0.13025 of SDXL's", number)
    .addOption(new Option("--component <name>", "which network, where there are several").choices([...MODEL_KINDS]));
}

/** Adds the options about a checkpoint that is written. */
export function addTargetOptions(command: Command, { number }: NumberReaders): Command {
  return command
    .requiredOption("--out <path>", "a folder, or a file whose ending tells its format: .pth, .safetensors, .gguf")
    .addOption(new Option("--format <name>", "when the ending does not tell it").choices([...FORMATS]))
    .addOption(
      new Option("--dtype <type>", "what numbers are stored as (q8_0 and q4_0: GGUF only)")
        .choices(["f32", "f16", "bf16", "q8_0", "q4_0"]),
    )
    .option("--shard-size <gigabytes>", "the most in one file of a folder (default: 5)", number)
    .option("--overwrite", "write over what is there");
}

/** The options of the functions. */
export function sourceOptions(flags: SourceFlags): OpenModelOptions {
  const { variant, ema, imageSize, family, heads, scalingFactor, component } = flags;
  return { variant, ema, imageSize, family, heads, scalingFactor, component };
}

/** The options of the functions. */
export function targetOptions({ format, dtype, shardSize, overwrite }: TargetFlags) {
  return {
    format,
    dtype: dtypeOf(dtype),
    shardBytes: shardSize === undefined ? undefined : shardSize * 1e9,
    overwrite,
  };
}

function dtypeOf(word: string | undefined): TargetDType | undefined {
  if (word === undefined) return undefined;
  const dtype = word.toUpperCase();
  if (isTargetDType(dtype)) return dtype;
  throw new UsageError(`Cannot store numbers as ${word} as it must be a dtype that is known: it is none`);
}

/** Says what was written. */
export function tellWritten(written: readonly WrittenModel[], seconds: number, output: Output): void {
  for (const { path, kind, format, tensors, bytes } of written) {
    output.print(`${path}: ${kind} as ${format}, ${tensors} tensors, ${formatBytes(bytes)}`);
  }
  const bytes = written.reduce((sum, one) => sum + one.bytes, 0);
  const speed = formatBytes(bytes / Math.max(seconds, 1e-3));
  output.print(`written in ${seconds < 10 ? `${seconds.toFixed(1)} s` : formatSeconds(seconds)} (${speed} a second)`);
  output.document({ written, seconds });
}
