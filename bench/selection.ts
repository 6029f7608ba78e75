// Which cases a run measures. In: words of the command line. Out: a choice of cases, or what is wrong with the words.

import { UsageError } from "../src/errors.ts";
import type { Case } from "./case.ts";

/** Words that name no op, size or dtype: all networks, all single ops, and what surrounds them (first picture, host). */
const KINDS = ["networks", "ops", "picture"] as const;

const NETWORKS = ["block", "step", "t5", "vae"];

/** What a choice depends on beside the words. */
export interface SelectOptions {
  /** Only the few cases that are measured in a minute. */
  quick?: boolean;
  /** Whether the device is a CPU, which is spared the largest cases unless a size is asked for; all cases count when not given. */
  software?: boolean;
}

/** What cases are chosen by. */
export type Selectable = Pick<Case, "op" | "dtype" | "words" | "quick" | "only" | "large">;

/** What was asked for. */
export interface Selection<C> {
  cases: C[];
  /** Whether host overhead, the first picture and a whole one are measured. */
  picture: boolean;
  /** Cases that were left out as a software device takes too long for them. */
  tooLarge: C[];
}

/**
 * Chooses cases. Words of one kind (ops, sizes, dtypes) widen the choice, words of different kinds narrow it:
 * `matmul attention 512` is both ops at 512 pixels. Without words, everything is measured.
 *
 * @throws {UsageError} when a word is unknown, or no case is left.
 */
export function select<C extends Selectable>(
  all: readonly C[],
  words: readonly string[],
  { quick = false, software }: SelectOptions = {},
): Selection<C> {
  const ops = new Set(all.map(({ op }) => op));
  const dtypes = new Set(all.map(({ dtype }) => dtype));
  const sizes = new Set(all.flatMap(({ words }) => words).filter((word) => !ops.has(word)));
  const known = [...KINDS, ...ops, ...sizes, ...dtypes];
  const unknown = words.find((word) => !known.includes(word));
  if (unknown !== undefined) {
    throw new UsageError(`Cannot bench ${unknown} as words must be among ${known.join(", ")}: it is none of them`);
  }
  const has = (kind: typeof KINDS[number]) => words.includes(kind);
  const [givenOps, givenSizes, givenDTypes] = [ops, sizes, dtypes].map((kind) =>
    words.filter((word) => kind.has(word))
  );
  const among = (given: string[], ...values: string[]) =>
    given.length === 0 || given.some((word) => values.includes(word));
  const asked = all.filter((each) =>
    (!quick || each.quick) && (software === undefined || each.only !== (software ? "gpu" : "cpu")) &&
    (has("networks") === has("ops") || has("networks") === NETWORKS.includes(each.op)) &&
    among(givenOps, each.op, ...each.words) && among(givenSizes, ...each.words) && among(givenDTypes, each.dtype)
  );
  const narrowed = givenOps.length + givenSizes.length + givenDTypes.length > 0 || has("networks") || has("ops");
  if (has("picture") && !narrowed && !quick) return { cases: [], picture: true, tooLarge: [] };
  const tooLarge = software && givenSizes.length === 0 ? asked.filter(({ large }) => large) : [];
  const cases = asked.filter((each) => !tooLarge.includes(each));
  if (cases.length === 0) {
    throw new UsageError(`Cannot bench ${words.join(" ")} as there must be such a case: none is left`);
  }
  return { cases, picture: has("picture") || (!narrowed && !quick), tooLarge };
}
