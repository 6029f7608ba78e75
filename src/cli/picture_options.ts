// The options that belong to one picture, whether they stand on the command line or on a line of a batch file. In: a command. Out:
// the command with the options, and from their values the size to paint.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { type Command, Option } from "npm:commander@15.1.0";
import { addControlOptions, type ControlFlags } from "./controlnet_options.ts";
import { finiteNumber, heightToWidth, numberList, wholeNumber } from "./option_numbers.ts";
import { schedulerNames } from "./schedulers.ts";

/** What can be said of one picture, by long names. */
export interface PictureFlags extends ControlFlags {
  steps: number;
  guidance: number;
  seed?: number;
  negative?: string;
  width?: number;
  height?: number;
  aspectRatio?: [height: number, width: number];
  hw?: [height: number, width: number];
  numImages: number;
  scheduler?: string;
  timesteps?: number[];
  maxSequenceLength?: number;
  promptWeighting?: boolean;
  cleanCaption: boolean;
  binning: boolean;
  /** A picture's file. */
  image?: string;
  mask?: string;
  strength?: number;
  eta?: number;
  originalGuidance?: boolean;
  pagScale?: number;
  pagAdaptiveScale?: number;
  pagLayers?: string[];
}

/** Adds them to a command. */
export function addPictureOptions(command: Command): Command {
  const positive = wholeNumber(1);
  return addControlOptions(command)
    .option("--steps <n>", "denoising steps", positive, 20)
    .option(
      "--guidance <scale>",
      "how strongly the prompt pulls; up to 1 is without guidance",
      finiteNumber(-Infinity),
      4.5,
    )
    .option("--seed <n>", "where the noise comes from; random when not given", wholeNumber(-Infinity))
    .option("--negative <prompt>", "what the picture must not show")
    .option("--width <pixels>", "the checkpoint's own when not given", positive)
    .option("--height <pixels>", "the checkpoint's own when not given", positive)
    .option(
      "--ar, --aspect-ratio <h:w>",
      "the shape, height first: the nearest size that the model knows",
      heightToWidth,
    )
    .option("--hw <h:w>", "height and width in one", heightToWidth)
    .option("--image <file>", "start from this picture: PNG, JPEG or WebP")
    .option("--mask <file>", "paint anew where this picture is white, and keep the rest of --image")
    .option(
      "--strength <x>",
      "how much of the picture is given up: 0 keeps it, 1 begins from noise",
      finiteNumber(0, 1),
    )
    .option("--num-images <n>", "pictures, made as one batch", positive, 1)
    .option("--scheduler <name>", `the checkpoint's own when not given; one of ${schedulerNames().join(", ")}`)
    .option("--timesteps <list>", "the times to ask the model at, in place of the scheduler's: 999,749,499", numberList)
    .option("--eta <x>", "fresh noise at each step, for schedulers that know it", finiteNumber(0, 1))
    .option("--original-guidance", "guide as the original repository does, not as diffusers does")
    .option("--pag-scale <x>", "perturbed-attention guidance, too; about 3", finiteNumber(0))
    .option("--pag-adaptive-scale <x>", "by how much less of it at each earlier training step", finiteNumber(0))
    .option(
      "--pag-layers <pattern>",
      'the blocks that it perturbs, such as "blocks.(2|3)"; may be given several times',
      (pattern: string, others: string[] = []) => [...others, pattern],
    )
    .option("--max-sequence-length <n>", "tokens of a prompt; longer ones are cut", positive)
    .option("--prompt-weighting", "let (word:1.3) in the prompts weigh that word, as in ComfyUI")
    .addOption(new Option("--no-clean-caption", "take the prompt as it is written"))
    .option("--no-binning", "paint at the very size asked for, not at the nearest that the model was trained for");
}
