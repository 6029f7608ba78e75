// Many pictures from one file. In: a text file with a prompt a line and options behind it, or JSONL with an object a line. Out: for
// each picture its line, its prompt and its options, all checked before any work.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { Command, CommanderError } from "npm:commander@15.1.0";
import stringArgv from "npm:string-argv@0.4.0";
import { UsageError } from "../errors.ts";
import { isRecord } from "../io/strict_json.ts";
import { addPictureOptions, type PictureFlags } from "./picture_options.ts";
import { SIZE_KEYS } from "./picture_size.ts";

/** One line of a batch file. */
export interface BatchLine {
  /** Its number in the file, from 1. */
  line: number;
  prompt: string;
  /** The options of the command line, but for what the line says otherwise. */
  flags: PictureFlags;
}

/** The original's spellings, and the keys of diffusers, of options that are called otherwise here. */
const OTHER_NAMES: Record<string, string> = {
  "aspect-ratio": "ar",
  "negative-prompt": "negative",
  "num-inference-steps": "steps",
  "guidance-scale": "guidance",
  "num-images-per-prompt": "num-images",
  "mask-image": "mask",
  "pag-applied-layers": "pag-layers",
  "controlnet-conditioning-scale": "control-scale",
  "control-guidance-start": "control-start",
  "control-guidance-end": "control-end",
};

/** Options that are switched off by their `--no-` form only. */
const SWITCHES = ["clean-caption", "binning"];

/** Options that are switched on by their name alone. */
const MARKS = ["original-guidance", "prompt-weighting", "control-edges"];

/** `num_images`, `numImages` and `num-images` as `num-images`, other names as ours. */
function optionName(key: string): string {
  const name = key.replace(/_/g, "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return OTHER_NAMES[name] ?? name;
}

/** The prompt and the words of the options behind it: `a cat --ar 3:4 --seed 7`. */
function splitTextLine(line: string): { prompt: string; words: string[] } {
  const at = /\s--[a-z]/.exec(` ${line}`)?.index ?? line.length;
  const words = stringArgv(line.slice(at)).map((word) =>
    /^--[a-z]/.test(word) ? word.replace(/^--([\w-]+)/, (_, key) => `--${optionName(key)}`) : word
  );
  return { prompt: line.slice(0, at).trim(), words };
}

function splitJsonLine(line: string): { prompt: string; words: string[] } {
  const object: unknown = JSON.parse(line);
  if (!isRecord(object)) throw new UsageError("it must be an object");
  const { prompt, ...rest } = object;
  if (typeof prompt !== "string") throw new UsageError('it must have a "prompt"');
  const words = Object.entries(rest).flatMap(([key, value]) => {
    const name = optionName(key);
    if (SWITCHES.includes(name) && typeof value === "boolean") return value ? [] : [`--no-${name}`];
    if (MARKS.includes(name) && typeof value === "boolean") return value ? [`--${name}`] : [];
    if (typeof value !== "string" && typeof value !== "number") {
      throw new UsageError(`"${key}" must be text or a number`);
    }
    return [`--${name}=${value}`];
  });
  return { prompt: prompt.trim(), words };
}

/**
 * Reads a batch file's text. Empty lines and lines that begin with # are left out; a line that begins with { is JSON.
 *
 * @param text The file.
 * @param common The options that hold for lines that do not say otherwise.
 * @param name The file's name, for messages.
 * @throws {UsageError} naming the first line that cannot be carried out.
 * @example
 * ```ts
 * import { parseBatch } from "./batch_file.ts";
 * const common = { steps: 20, guidance: 4.5, numImages: 1, cleanCaption: true, binning: true };
 * const [line] = parseBatch("a cat --ar 3:4 --seed 7", common, "cats.txt");
 * console.assert(line.prompt === "a cat" && line.flags.seed === 7 && line.flags.steps === 20);
 * ```
 */
export function parseBatch(text: string, common: PictureFlags, name: string): BatchLine[] {
  const lines: BatchLine[] = [];
  text.replace(/^\ufeff/, "").split(/\r?\n/).forEach((whole, index) => {
    const content = whole.trim();
    if (content === "" || content.startsWith("#")) return;
    try {
      const { prompt, words } = content.startsWith("{") ? splitJsonLine(content) : splitTextLine(content);
      if (prompt === "") throw new UsageError("it has no prompt");
      const own = parseWords(words);
      lines.push({ line: index + 1, prompt, flags: { ...(isSized(own) ? unsized(common) : common), ...own } });
    } catch (error) {
      const state = error instanceof Error ? error.message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ") : error;
      throw new UsageError(`Cannot use line ${index + 1} of ${name} as it must be a prompt with options: ${state}`);
    }
  });
  if (lines.length === 0) {
    throw new UsageError(`Cannot make pictures from ${name} as it must have prompts: it has none`);
  }
  return lines;
}

const isSized = (flags: Partial<PictureFlags>) => SIZE_KEYS.some((key) => flags[key] !== undefined);

/** The options without those of size, for a line that has its own. */
function unsized(flags: PictureFlags): PictureFlags {
  const { width: _width, height: _height, aspectRatio: _aspectRatio, hw: _hw, ...others } = flags;
  return others;
}

/** What the words say, and nothing that they do not. */
function parseWords(words: readonly string[]): Partial<PictureFlags> {
  const command = addPictureOptions(new Command("line")).exitOverride().configureOutput({ writeErr: () => {} })
    .helpOption(false).allowExcessArguments(false);
  try {
    command.parse(words, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageError(error.message);
    throw error;
  }
  const given = Object.entries(command.opts()).filter(([key]) => command.getOptionValueSource(key) === "cli");
  return Object.fromEntries(given);
}
