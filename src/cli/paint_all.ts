// The jobs of a run one after another. In: jobs and a loaded pipeline. Out: reports of what was made and of what failed; lines as the
// pictures come.

import { loadImage } from "../io/load_image.ts";
import type { ContactSheet } from "./contact_sheet.ts";
import { CancelledError, counted, type Output, tellError } from "./output.ts";
import { paint, type PaintContext, type PictureReport } from "./paint.ts";
import type { PictureJob } from "./picture_jobs.ts";

/** A line of a batch file that could not be painted. */
export interface FailedJob {
  line: number;
  kind: string;
  message: string;
}

/** What all jobs share. */
export interface PaintAllContext extends Omit<PaintContext, "label"> {
  output: Output;
  /** Gets every picture, also those that were there before. */
  sheet?: ContactSheet;
  /** Whether the other jobs go on when one fails. */
  goesOn: boolean;
}

/**
 * Paints all jobs whose pictures are not there yet.
 *
 * @throws What made a job fail, unless the others go on; the signal's reason when it was aborted.
 */
export async function paintAll(
  jobs: readonly PictureJob[],
  { output, sheet, goesOn, ...context }: PaintAllContext,
): Promise<{ pictures: PictureReport[]; failed: FailedJob[] }> {
  const { signal, progress } = context;
  const todo = jobs.filter(({ files }) => !files.isDone);
  const pictures: PictureReport[] = [], failed: FailedJob[] = [];
  for (const job of jobs) {
    if (job.files.isDone) {
      if (sheet) { for (const path of job.files.paths) sheet.add(await loadImage(path, { signal })); }
      continue;
    }
    const { numImages, steps } = job.flags;
    const label = todo.length > 1 ? `${todo.indexOf(job) + 1} of ${todo.length}: ` : "";
    output.log(`${label}${counted(numImages, "picture")}, ${counted(steps, "step")}, seed ${job.seed}`);
    try {
      const { report, images } = await paint(job, { ...context, label });
      for (const image of images) sheet?.add(image);
      pictures.push(report);
      for (const path of report.images) output.print(`${path}  ${report.width}x${report.height}  seed ${report.seed}`);
      for (const warning of report.warnings) output.log(`warning: ${warning}`);
    } catch (error) {
      if (!goesOn || job.line === undefined || error instanceof CancelledError || signal.aborted) throw error;
      progress.stop();
      const { kind, message } = tellError(error);
      output.log(`line ${job.line}: ${message}`);
      failed.push({ line: job.line, kind, message });
    }
  }
  return { pictures, failed };
}
