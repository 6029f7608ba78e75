// Verifies what happens to text before the text encoder: cleaning and tokens. In: folders with texts and what became of them.
// Out: a row for each text.

import { ConfigError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { preprocessCaption } from "../text/caption.ts";
import { T5Tokenizer } from "../text/tokenizer.ts";
import { compareExactly, compareText, type OutputReport, shorten } from "./compare.ts";
import type { VerifyRun } from "./run.ts";

/** The number of tokens that the recorded ids are cut at. */
const MAX_LENGTH = 300;

/** Encodes the texts of `t5.json`, [{ text, expected }]. */
export async function verifyTokenizer(run: VerifyRun): Promise<OutputReport[]> {
  const cases = await readCases(run.folder, "t5.json", (entry) => {
    const { text, expected } = entry;
    return typeof text === "string" && Array.isArray(expected) && expected.every(Number.isInteger);
  });
  run.progress("loading the tokenizer");
  const tokenizer = await T5Tokenizer.fromPretrained(run.folder);
  return cases.map(({ text, expected }, i) => {
    run.progress(`encoding text ${i + 1} of ${cases.length}`);
    const { inputIds } = tokenizer.encode(text as string, { maxLength: MAX_LENGTH });
    return compareExactly(`${i} ${shorten(text as string, 40)}`, inputIds, expected as number[]);
  });
}

/** Cleans the captions of `captions.json`, [{ caption, cleaned, plain }]. */
export async function verifyCaptions(run: VerifyRun): Promise<OutputReport[]> {
  const cases = await readCases(run.folder, "captions.json", ({ caption, cleaned, plain }) => {
    return [caption, cleaned, plain].every((text) => typeof text === "string");
  });
  return cases.flatMap((entry, i) => {
    run.progress(`cleaning caption ${i + 1} of ${cases.length}`);
    const { caption, cleaned, plain } = entry as Record<string, string>;
    const name = `${i} ${shorten(caption, 40)}`;
    return [
      compareText(`${name} cleaned`, preprocessCaption(caption, true), cleaned),
      compareText(`${name} plain`, preprocessCaption(caption, false), plain),
    ];
  });
}

async function readCases(
  folder: string,
  file: string,
  fits: (entry: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>[]> {
  const path = joinPath(folder, file);
  const cases = await readJson(path);
  if (!Array.isArray(cases) || cases.length === 0 || !cases.every((entry) => entry && fits(entry))) {
    throw new ConfigError(
      `Cannot verify by ${path} as it must be a list of texts with what becomes of them: it is not`,
    );
  }
  return cases;
}
