// The options of one picture that a ControlNet steers. In: a command. Out: the command with the options, and from their values what a
// call is told.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import type { Command } from "npm:commander@15.1.0";
import { UsageError } from "../errors.ts";
import { edgeImage } from "../io/edge_image.ts";
import { loadImage } from "../io/load_image.ts";
import type { ControlOptions } from "../pipelines/control_options.ts";
import type { HEDdetector } from "../pipelines/hed_detector.ts";
import { finiteNumber } from "./option_numbers.ts";

/** What can be said of one picture's steering, by long names. */
export interface ControlFlags {
  /** A picture's file. */
  controlImage?: string;
  controlEdges?: boolean;
  controlScale?: number;
  controlStart?: number;
  controlEnd?: number;
}

/** Adds them to a command. */
export function addControlOptions(command: Command): Command {
  return command
    .option("--control-image <file>", "what the ControlNet of --controlnet is shown: PNG, JPEG or WebP")
    .option("--control-edges", "show it the edges of that picture")
    .option("--control-scale <x>", "how strongly it steers: 0 is without; 1 when not given", finiteNumber(-Infinity))
    .option("--control-start <x>", "the share of the steps before it steers", finiteNumber(0, 1))
    .option("--control-end <x>", "the share of the steps after which it steers no more", finiteNumber(0, 1));
}

/**
 * Looks whether the options go together, before any work.
 *
 * @param models The ControlNet and the edge detector that the pipeline gets.
 * @throws {UsageError} when they do not.
 */
export function checkControlFlags(
  flags: ControlFlags,
  { controlnet, hed }: { controlnet?: string; hed?: string },
): void {
  const { controlImage, controlEdges, controlScale, controlStart, controlEnd } = flags;
  if (controlImage !== undefined) {
    if (controlnet === undefined) {
      throw new UsageError("Cannot steer by --control-image as a ControlNet must see it: give --controlnet FILE");
    }
    if (controlEdges && hed !== undefined) {
      throw new UsageError("Cannot draw edges as one way must say how: --control-edges and --hed do");
    }
    return;
  }
  const others = { "--control-edges": controlEdges, "--control-scale": controlScale };
  const named = Object.entries({ ...others, "--control-start": controlStart, "--control-end": controlEnd });
  const [name] = named.find(([, value]) => value !== undefined) ?? [];
  if (name) {
    throw new UsageError(`Cannot use ${name} as a ControlNet must be shown something: give --control-image FILE`);
  }
}

/**
 * Loads what the ControlNet is shown.
 *
 * @param hed Draws its edges, where there is one.
 * @throws {UsageError} when it is no picture.
 */
export async function controlOptions(
  flags: ControlFlags,
  { hed, signal }: { hed?: HEDdetector; signal: AbortSignal },
): Promise<ControlOptions> {
  const { controlImage: file, controlEdges, controlScale, controlStart, controlEnd } = flags;
  if (file === undefined) return {};
  const image = await loadImage(file, { signal });
  return {
    controlImage: hed ? await hed.detect(image, { signal }) : controlEdges ? edgeImage(image) : image,
    controlnetConditioningScale: controlScale,
    controlGuidanceStart: controlStart,
    controlGuidanceEnd: controlEnd,
  };
}
