// `pixart make-random`: a random checkpoint of a real network's extents. In: its name. Out: a file or folder, whole or not at all.

import { makeRandom } from "../checkpoints/make_random.ts";
import type { ModelKind } from "../checkpoints/open_model.ts";
import { joinPath } from "../io/byte_source.ts";
import { DEFAULT_MODEL } from "../pipelines/default_model.ts";
import { cancellable } from "./cancel.ts";
import { type TargetFlags, targetOptions, tellWritten } from "./checkpoint_options.ts";
import type { Output } from "./output.ts";
import { Progress } from "./progress.ts";

/** The options of the command line, by their long names. */
export interface MakeRandomFlags extends TargetFlags {
  seed: number;
  component?: ModelKind | "pipeline";
  tokenizer?: string;
}

/** Writes a random checkpoint and says what was written. */
export async function makeRandomModel(name: string, flags: MakeRandomFlags, output: Output): Promise<void> {
  const started = performance.now();
  using progress = new Progress();
  const { seed, component, tokenizer = joinPath(DEFAULT_MODEL, "tokenizer") } = flags;
  const written = await cancellable("make-random", (signal) =>
    makeRandom(name, flags.out, {
      ...targetOptions(flags),
      ...{ seed, component, tokenizer, signal },
      onProgress: (kind, done, total) => progress.show(`writing ${kind}`, done, total),
    }));
  progress.stop();
  tellWritten(written, (performance.now() - started) / 1000, output);
}
