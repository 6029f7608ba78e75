// Which cases a run measures. In: words of the command line. Out: a choice of cases, or what is wrong with the words.

import { UsageError } from "../src/errors.ts";
import type { Case } from "./case.ts";

/** Words that are about the run as a whole, not about cases. */
const MODES = ["quick", "peers", "networks", "ops", "picture"] as const;
type Mode = typeof MODES[number];

const NETWORKS = ["block", "step", "t5", "vae"];

/** What was asked for. */
export interface Selection {
  cases: Case[];
  /** Whether peers are raced. */
  peers: boolean;
  /** Whether host overhead and the first picture are measured. */
  picture: boolean;
  /** Cases that were left out as a software device takes too long for them. */
  tooLarge: Case[];
}

/**
 * Chooses cases. Words of one kind (ops, sizes, dtypes) widen the choice, words of different kinds narrow it:
 * `matmul attention 512` is both ops at 512 pixels.
 *
 * @param software Whether the device is a CPU, which is spared the largest cases unless a size is asked for.
 * @throws {UsageError} when a word is unknown, or no case is left.
 */
export function select(all: readonly Case[], words: readonly string[], software: boolean): Selection {
  const ops = new Set(all.map(({ op }) => op));
  const dtypes = new Set(all.map(({ dtype }) => dtype));
  const sizes = new Set(all.flatMap(({ words }) => words).filter((word) => !ops.has(word) && word !== "networks"));
  const known = [...MODES, ...ops, ...sizes, ...dtypes];
  const unknown = words.find((word) => !known.includes(word));
  if (unknown !== undefined) {
    throw new UsageError(`Cannot bench ${unknown} as words must be among ${known.join(", ")}: it is none of them`);
  }
  const has = (mode: Mode) => words.includes(mode);
  const given = (kind: Set<string>) => words.filter((word) => kind.has(word));
  const [givenOps, givenSizes, givenDTypes] = [ops, sizes, dtypes].map(given);
  const among = (list: string[], ...values: string[]) =>
    list.length === 0 || list.some((word) => values.includes(word));
  const asked = all.filter((each) => {
    const isNetwork = NETWORKS.includes(each.op);
    if (has("quick") && !each.quick) return false;
    if (has("networks") !== has("ops") && has("networks") !== isNetwork) return false;
    return among(givenOps, each.op, ...each.words) && among(givenSizes, ...each.words) &&
      among(givenDTypes, each.dtype);
  });
  const spared = software && givenSizes.length === 0 ? asked.filter(({ large }) => large) : [];
  const cases = asked.filter((each) => !spared.includes(each));
  const narrowed = givenOps.length + givenSizes.length + givenDTypes.length > 0 || has("networks") || has("ops");
  const plain = !has("quick") && !narrowed && !has("peers") && !has("picture");
  const onlyPicture = has("picture") && !narrowed && !has("peers") && !has("quick");
  if (cases.length === 0) {
    throw new UsageError(`Cannot bench ${words.join(" ")} as there must be such a case: none is left`);
  }
  const peers = plain || has("peers");
  // `peers` alone is about what peers can do.
  const chosen = onlyPicture ? [] : has("peers") && !narrowed ? cases.filter(({ peer }) => peer) : cases;
  return { cases: chosen, peers, picture: plain || has("picture"), tooLarge: onlyPicture ? [] : spared };
}
