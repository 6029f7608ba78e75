// How distilled models are sampled. In: a model's name or --distilled, and the options that were named. Out: the other options as such
// a model wants them.

import type { PictureFlags } from "./picture_options.ts";

/** The ways of distilling that are known, with the options of `PixArtAlphaLCMPipeline` and `PixArtAlphaDMDPipeline`. */
const WAYS: Record<string, Partial<PictureFlags>> = {
  lcm: { scheduler: "lcm", steps: 4, guidance: 0 },
  dmd: { scheduler: "dmd", steps: 1, guidance: 1, timesteps: [400] },
};

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
