// Verifies a text encoder. In: a folder with its weights and recorded token ids and embeddings. Out: a row for each output.

import { T5EncoderModel } from "../text/t5_encoder.ts";
import { compareFloats, notCompared, type Numbers, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import { compute, type VerifyRun } from "./run.ts";

/**
 * Runs a T5 encoder on recorded ids [B, L].
 *
 * @returns A row for all tokens, and where a mask leaves some out one for those that it keeps.
 */
export async function verifyTextEncoder(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const outputs = io.outputs();
  const ids = await io.floats("in.input_ids", 2);
  const mask = io.has("in.attention_mask") ? (await io.floats("in.attention_mask", 2)).data : undefined;
  const device = await run.device();
  run.progress("loading the text encoder");
  using model = await T5EncoderModel.fromPretrained(run.folder, {
    device,
    dtype: run.dtype,
    onWarning: run.warn,
    signal: run.signal,
  });
  const rows = await model.embeddingRows(ids.data);
  run.progress("running the text encoder");
  const [hidden] = await compute(device, (rec) => [model.forward(rec, rows, ids.shape[0], mask)]);
  const reports: OutputReport[] = [];
  for (const name of outputs) {
    if (name !== "out.last_hidden_state") {
      reports.push(notCompared(name, "the text encoder has no such output"));
      continue;
    }
    const reference = await io.floats(name);
    reports.push(compareFloats(name, hidden, reference, run.tolerance));
    if (!mask?.some((keep) => keep === 0) || hidden.shape.join() !== reference.shape.join()) continue;
    // What follows in a pipeline reads only these; padding, with its larger numbers, could hide an error of theirs.
    const [ours, theirs] = [keptTokens(hidden, mask), keptTokens(reference, mask)];
    if (ours.data.length > 0) reports.push(compareFloats(`${name} (mask 1)`, ours, theirs, run.tolerance));
  }
  return reports;
}

/** The tokens [K, C] of [B, L, C] that a mask [B * L] keeps. */
function keptTokens({ data, shape, dtype }: Numbers, mask: Float32Array): Numbers {
  const width = shape[shape.length - 1];
  const kept = Array.from(data).filter((_, i) => mask[Math.floor(i / width)] !== 0);
  return { data: kept, shape: [kept.length / width, width], dtype };
}
