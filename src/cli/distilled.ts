// How distilled models are sampled. In: a model's name or --distilled, and the options that were named. Out: the other options as such
// a model wants them.

import { DMD_DEFAULTS, LCM_DEFAULTS } from "../pipelines/distilled_defaults.ts";
import type { PictureFlags } from "./picture_options.ts";

/** The ways of distilling that are known, with their schedulers. */
const WAYS: Record<string, Partial<PictureFlags>> = {
  lcm: { scheduler: "lcm", ...flagsOf(LCM_DEFAULTS) },
  dmd: { scheduler: "dmd", ...flagsOf(DMD_DEFAULTS), timesteps: DMD_DEFAULTS.timesteps },
};

function flagsOf({ numInferenceSteps, guidanceScale }: typeof LCM_DEFAULTS): Partial<PictureFlags> {
  return { steps: numInferenceSteps, guidance: guidanceScale };
}

/** Their names. */
export const DISTILLED: readonly string[] = Object.keys(WAYS);

/**
 * Fills in what a distilled model wants, where the user did not name it.
 *
 * @param flags `distilled` names the way; when not given, it is in the name of the model: `alpha-512-dmd`.
 * @param given The options that the user named.
 */
export function asDistilled<Flags extends PictureFlags & { model?: string; distilled?: string }>(
  flags: Flags,
  given: ReadonlySet<string>,
): Flags {
  const way = flags.distilled ?? DISTILLED.find((name) => new RegExp(`-${name}(?![a-z])`, "i").test(flags.model ?? ""));
  const wanted = Object.entries(way === undefined ? {} : WAYS[way]).filter(([key]) => !given.has(key));
  return { ...flags, ...Object.fromEntries(wanted) };
}
