// `pixart convert`: a checkpoint in another layout, format or dtype. In: a file or folder. Out: a file or folder, whole or not at all.

import { convertModel } from "../checkpoints/convert.ts";
import { cancellable } from "./cancel.ts";
import { type SourceFlags, sourceOptions, type TargetFlags, targetOptions, tellWritten } from "./checkpoint_options.ts";
import type { LoraChoice } from "./loras.ts";
import type { Output } from "./output.ts";
import { Progress } from "./progress.ts";

/** The options of the command line, by their long names. */
export interface ConvertFlags extends SourceFlags, TargetFlags {
  vae?: string;
  textEncoder?: string;
  tokenizer?: string;
  lora?: LoraChoice[];
}

/** Converts a checkpoint and says what was written. */
export async function convert(input: string, flags: ConvertFlags, output: Output): Promise<void> {
  const started = performance.now();
  using progress = new Progress();
  const written = await cancellable("convert", (signal) => {
    const { vae, textEncoder, tokenizer, lora: loras } = flags;
    return convertModel(input, flags.out, {
      ...sourceOptions(flags),
      ...targetOptions(flags),
      ...{ vae, textEncoder, tokenizer, loras, signal },
      onProgress: (kind, done, total) => progress.show(`writing ${kind}`, done, total),
    });
  });
  progress.stop();
  tellWritten(written, (performance.now() - started) / 1000, output);
}
