// `pixart merge`: a mixture of two transformers. In: two checkpoints and a ratio. Out: a checkpoint, whole or not at all.

import { mergeModels } from "../checkpoints/merge.ts";
import { cancellable } from "./cancel.ts";
import { type SourceFlags, sourceOptions, type TargetFlags, targetOptions, tellWritten } from "./checkpoint_options.ts";
import type { Output } from "./output.ts";
import { Progress } from "./progress.ts";

/** The options of the command line, by their long names. */
export interface MergeFlags extends SourceFlags, TargetFlags {
  ratio: number;
}

/** Mixes two checkpoints and says what was written. */
export async function merge(a: string, b: string, flags: MergeFlags, output: Output): Promise<void> {
  const started = performance.now();
  using progress = new Progress();
  const written = await cancellable("merge", (signal) =>
    mergeModels(a, b, flags.ratio, flags.out, {
      ...sourceOptions(flags),
      ...targetOptions(flags),
      signal,
      onProgress: (done, total) => progress.show("merging", done, total),
    }));
  progress.stop();
  tellWritten([written], (performance.now() - started) / 1000, output);
}
