// The options that say how much memory a model may take. In: words of the command line. Out: how the pipeline is loaded and called, and
// the plan in a line.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { type Command, InvalidArgumentError } from "npm:commander@15.1.0";
import { formatBytes, parseBytes } from "../io/byte_words.ts";
import { WEIGHT_DTYPES } from "../ops/weight_kernels.ts";
import type { PipelineLoadOptions } from "../pipelines/components.ts";
import type { ExpectedRun } from "../pipelines/memory_limit.ts";
import type { MemoryPlan } from "../pipelines/memory_plan.ts";
import type { PictureFlags } from "./picture_options.ts";

/** Their values, by long names. */
export interface MemoryFlags {
  /** Bytes. */
  maxMemory?: number;
  offload?: boolean;
  quantize?: PipelineLoadOptions["quantize"];
  vaeTiling?: boolean;
  vaeSlicing?: boolean;
}

const NETWORKS: Readonly<Record<string, "textEncoder" | "transformer">> = {
  t5: "textEncoder",
  text_encoder: "textEncoder",
  transformer: "transformer",
};

/** Reads `4GB`. */
function bytesOf(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError("It must be a number of bytes, such as 4GB or 3500MiB.");
  return bytes;
}

/** Reads `t5=int4,transformer=int8`. */
function quantizationOf(text: string): MemoryFlags["quantize"] {
  const chosen: NonNullable<MemoryFlags["quantize"]> = {};
  for (const part of text.split(",")) {
    const [name, type, ...more] = part.trim().split("=");
    const network = Object.hasOwn(NETWORKS, name) ? NETWORKS[name] : undefined;
    const dtype = WEIGHT_DTYPES.find((one) => one === type);
    if (!network || !dtype || more.length > 0 || chosen[network]) {
      throw new InvalidArgumentError(
        `It must say ${Object.keys(NETWORKS).join(" or ")}, each once, as one of ${
          WEIGHT_DTYPES.join(", ")
        }: t5=int4,transformer=int8.`,
      );
    }
    chosen[network] = dtype;
  }
  return chosen;
}

/** Adds them to a command. */
export function addMemoryOptions(command: Command): Command {
  return command
    .option("--max-memory <size>", "keep to so much GPU memory, such as 4GB: chooses from what is below", bytesOf)
    .option("--offload", "have each network in memory only while it works")
    .option(
      "--quantize <network=type,...>",
      "how the large networks' weights are kept, in place of --dtype: t5=int4,transformer=int8",
      quantizationOf,
    )
    .option("--vae-tiling", "decode large pictures in overlapping tiles, as diffusers does")
    .option("--vae-slicing", "decode one picture at a time");
}

/** What the largest of some pictures asks for. */
function largest(pictures: readonly Partial<PictureFlags>[]): ExpectedRun {
  const most = (of: (flags: Partial<PictureFlags>) => number | undefined) => {
    const values = pictures.map(of).filter((value) => value !== undefined);
    return values.length > 0 ? Math.max(...values) : undefined;
  };
  return {
    height: most(({ height, hw }) => hw?.[0] ?? height),
    width: most(({ width, hw }) => hw?.[1] ?? width),
    useResolutionBinning: pictures.every(({ binning }) => binning !== false),
    pictures: most(({ numImages }) => numImages),
    tokens: most(({ maxSequenceLength }) => maxSequenceLength),
    captions: most(({ guidance = 1, pagScale = 0 }) => 1 + Number(guidance > 1) + Number(pagScale > 0)),
    steps: most(({ steps }) => steps),
    fromImages: pictures.some(({ image, controlImage }) => image !== undefined || controlImage !== undefined),
  };
}

/** How a pipeline is loaded that is to paint these pictures. */
export function memoryLoading(
  { maxMemory, offload, quantize }: MemoryFlags,
  pictures: readonly Partial<PictureFlags>[],
): Pick<PipelineLoadOptions, "maxMemory" | "maxMemoryFor" | "offload" | "quantize"> {
  return { maxMemory, maxMemoryFor: largest(pictures), offload, quantize };
}

/** A plan in one line. */
export function planLine({ limit, peakBytes, words }: MemoryPlan): string {
  const given = words.length > 0 ? words.join("; ") : "all fits, nothing is given up";
  return `within ${formatBytes(limit)} of GPU memory (${formatBytes(peakBytes)} foretold): ${given}`;
}
