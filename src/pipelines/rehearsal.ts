// The first call of a pipeline, rehearsed while its weights are read. In: how the pipeline is opened, and what it will be called with. Out:
// nothing but compilations under way. Which kernels a call needs is decided by shapes and the device alone, so that the same code on a
// device without a GPU finds out.

import type { Device } from "../gpu/device.ts";
import type { PixArtTransformer2DModel } from "../dit/transformer.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";
import type { GenerateOptions } from "./generate_options.ts";
import type { Own } from "./networks.ts";

/** What a rehearsal is done with: it does all that the pipeline does, but without numbers, and its pictures are black. */
export interface RehearsedPipeline {
  readonly components: { readonly transformer: PixArtTransformer2DModel; scheduler: Scheduler };
  readonly vaeScaleFactor: number;
  /** Pixels. */
  readonly defaultSize: { height: number; width: number };
  generate(prompt: string | readonly string[] | undefined, options?: GenerateOptions): Promise<unknown>;
}

/** What the first call will be; none with `null`. */
export type FirstCall = ((pipe: RehearsedPipeline) => Promise<unknown>) | null;

/**
 * Begins to compile the kernels of a call. What goes wrong is told to nobody: then they are compiled when they are needed, and the call
 * itself says what is wrong with it.
 *
 * @param open Opens the pipeline on the device of the rehearsal, with its weights left where they are.
 * @returns When the call was rehearsed; `device.compiled` tells when the kernels are compiled.
 */
export async function rehearse(
  device: Device,
  call: FirstCall = (pipe) => pipe.generate("a picture", { seed: 0 }),
  open: (device: Device, own: Own) => Promise<RehearsedPipeline>,
): Promise<void> {
  if (call === null) return;
  using stack = new DisposableStack();
  try {
    const pipe = await open(stack.use(device.rehearsal()), (model) => stack.use(model));
    await call(pipe);
  } catch {
    // As above.
  }
}
