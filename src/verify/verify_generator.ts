// Verifies the random numbers. In: a folder with what PyTorch drew. Out: a row for each draw.

import { Generator } from "../random/generator.ts";
import { compareExactly, compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { DRAW } from "./component.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";

/** A recorded draw: `randn.seed0.1x4x8x8`, `randperm50.seed0`. */
interface Draw {
  name: string;
  kind: string;
  /** The N of `randintN` and `randpermN`. */
  limit: number;
  seed: string;
}

/**
 * Draws what was drawn: `randn.seedS.SHAPE` is a generator's first draw and `randn2.seedS.SHAPE` its second; another generator
 * of the seed gave `rand.seedS`, then `randintN.seedS`, then `randpermN.seedS`.
 */
export async function verifyGenerator(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const rows: OutputReport[] = [];
  const streams = new Map<string, Generator>();
  const parsed = io.names().map((name) => parse(name) ?? name);
  const draws = parsed.filter((draw) => typeof draw !== "string");
  for (const draw of draws.toSorted((a, b) => order(a) - order(b))) {
    run.progress(`drawing ${draw.name}`);
    if (draw.kind.startsWith("randn")) {
      rows.push(await verifyNormal(run, io, draw));
      continue;
    }
    let stream = streams.get(draw.seed);
    if (!stream) streams.set(draw.seed, stream = new Generator(BigInt(draw.seed)));
    rows.push(await verifyInStream(run, io, draw, stream));
  }
  for (const name of parsed) if (typeof name === "string") rows.push(notCompared(name, "no such draw is known"));
  return rows;
}

function parse(name: string): Draw | undefined {
  const seed = new RegExp(`${DRAW.source}(-?\\d+)(?:\\.|$)`).exec(name)?.[2];
  const [, kind, limit] = /^(randn2|[a-z]*)(\d*)/.exec(name)!;
  return seed === undefined ? undefined : { name, kind, limit: Number(limit), seed };
}

function order({ kind }: Draw): number {
  return ["randn", "randn2", "rand", "randint", "randperm"].indexOf(kind);
}

async function verifyNormal(run: VerifyRun, io: Reference, { name, kind, seed }: Draw): Promise<OutputReport> {
  const reference = await io.floats(name);
  const { shape } = reference;
  const generator = new Generator(BigInt(seed));
  if (kind === "randn2") generator.randn(shape);
  return compareFloats(name, { data: generator.randn(shape), shape }, reference, run.tolerance);
}

async function verifyInStream(
  run: VerifyRun,
  io: Reference,
  { name, kind, limit }: Draw,
  generator: Generator,
): Promise<OutputReport> {
  if (kind === "rand") {
    const reference = await io.floats(name);
    const data = generator.rand(reference.data.length);
    return compareFloats(name, { data, shape: reference.shape }, reference, run.tolerance);
  }
  const numbers = await io.ints(name);
  return compareExactly(
    name,
    kind === "randint" ? generator.randint(0, limit, numbers.length) : generator.randperm(limit),
    numbers,
  );
}
