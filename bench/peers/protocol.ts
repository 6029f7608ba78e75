// What the bench and a peer's process say to each other. In: a file of jobs. Out: a line of JSON for each of them.

import type { Timing } from "../report.ts";

/** Work for a peer. */
export interface PeerJobFile {
  op: string;
  shape: string;
  kind: string;
  extents: Record<string, number>;
  /** A safetensors file. */
  inputs: string;
  /** The elements of the result that are to be told. */
  places: number[];
  /** Milliseconds for its rounds. */
  budgetMs: number;
}

/** What became of it: the first two, or why not; in the order of the jobs. */
export interface PeerLine {
  timing?: Timing;
  /** The elements that were asked for; none where the peer made weights of its own. */
  values?: number[];
  note?: string;
  /** What to call it where that says more than the peer's name: PyTorch fp16. */
  name?: string;
}
