// What a command line wants painted. In: a prompt, a batch file or a picture to make again, and options. Out: jobs with their
// options, seeds and file names, all settled before any work.

import { UsageError } from "../errors.ts";
import { type BatchLine, parseBatch } from "./batch_file.ts";
import type { PictureFlags } from "./picture_options.ts";
import { type PictureFiles, settlePictureFiles } from "./picture_files.ts";
import { pictureName } from "./picture_names.ts";
import { checkSizeFlags } from "./picture_size.ts";
import { findScheduler } from "./schedulers.ts";

/** One call of the pipeline. */
export interface PictureJob {
  /** Its line in the batch file. */
  line?: number;
  prompt: string;
  flags: PictureFlags;
  seed: number;
  files: PictureFiles;
  /** The one picture of the batch that is kept; all when not given. */
  only?: number;
}

/** Where pictures go. */
export interface FileFlags {
  out?: string;
  /** A template; see `pictureName`. */
  name?: string;
  overwrite?: boolean;
}

const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

function check(flags: PictureFlags): void {
  checkSizeFlags(flags);
  if (flags.scheduler !== undefined) findScheduler(flags.scheduler);
}

/**
 * One prompt.
 *
 * @throws {UsageError} when an option cannot be carried out, or the name is taken.
 */
export async function singleJob(
  prompt: string,
  flags: PictureFlags,
  { out, name = "{slug}-{seed}", overwrite = false }: FileFlags,
  only?: number,
): Promise<PictureJob> {
  check(flags);
  const { steps, guidance, seed = randomSeed() } = flags;
  const files = await settlePictureFiles({
    out,
    name: pictureName(name, { prompt, seed, steps, guidance }),
    count: only === undefined ? flags.numImages : 1,
    overwrite,
  });
  return { prompt, flags, seed, files, only };
}

/**
 * All prompts of a file.
 *
 * @throws {UsageError} naming the line that cannot be carried out, or two lines whose pictures would have one name.
 */
export async function batchJobs(
  file: string,
  common: PictureFlags,
  { out = ".", name = "{line}-{slug}", overwrite = false }: FileFlags,
): Promise<PictureJob[]> {
  if (/\.png$/i.test(out)) {
    throw new UsageError(`Cannot save a batch to ${out} as many pictures need a folder: it is a file's name`);
  }
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new UsageError(`Cannot read the batch file ${file} as it must be a text file: ${(error as Error).message}`);
  }
  const lines = parseBatch(text, common, file);
  const digits = `${lines[lines.length - 1].line}`.length;
  const jobs: PictureJob[] = [];
  const lineOf = new Map<string, number>();
  for (const one of lines) {
    const job = await atLine(one, file, async ({ line, prompt, flags }) => {
      check(flags);
      const { steps, guidance, seed = randomSeed() } = flags;
      const facts = { prompt, seed, steps, guidance, line: `${line}`.padStart(digits, "0") };
      const files = await settlePictureFiles({
        out: `${out}/`,
        name: pictureName(name, facts),
        count: flags.numImages,
        overwrite,
        resume: true,
      });
      return { line, prompt, flags, seed, files };
    });
    for (const path of job.files.paths) {
      const other = lineOf.get(path);
      if (other !== undefined) {
        throw new UsageError(
          `Cannot name the pictures of ${file} by ${name} as names must differ: lines ${other} and ${one.line} are both ` +
            `${path}; put {line} or {seed} in --name`,
        );
      }
      lineOf.set(path, one.line);
    }
    jobs.push(job);
  }
  return jobs;
}

/** Does work for a line, and says which line it was that cannot be carried out. */
async function atLine<T>(line: BatchLine, file: string, work: (line: BatchLine) => Promise<T>): Promise<T> {
  try {
    return await work(line);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message} (line ${line.line} of ${file})`, { cause: error });
  }
}
