// `pixart inspect`: what a checkpoint is. In: a file or folder in any format. Out: what network it is, and a table of its tensors;
// only headers are read.

import { describeModel, type ModelDescription } from "../checkpoints/describe_model.ts";
import { formatBytes } from "../io/byte_words.ts";
import { type SourceFlags, sourceOptions } from "./checkpoint_options.ts";
import type { Output } from "./output.ts";
import { formatTable } from "./table.ts";

/** The options of the command line, by their long names. */
export interface InspectFlags extends SourceFlags {
  /** False leaves the table of tensors out. */
  tensors: boolean;
}

const LONGEST_VALUE = 100;

/** Describes a checkpoint. */
export async function inspect(address: string, flags: InspectFlags, output: Output): Promise<void> {
  const models = await describeModel(address, sourceOptions(flags));
  for (const model of models) print(model, flags, output);
  output.document({ models: models.map((model) => flags.tensors ? model : { ...model, tensors: undefined }) });
}

function print(model: ModelDescription, flags: InspectFlags, output: Output): void {
  const { path, model: name, about, isGuessed, unknown, parameters, bytes, dtypes, metadata, tensors } = model;
  output.print(`${path}: ${name}${about === "" ? "" : `, ${about}`}${isGuessed ? " (guessed from the tensors)" : ""}`);
  if (unknown !== undefined) output.print(`  ${unknown}`);
  const kinds = Object.entries(dtypes).map(([dtype, size]) => `${dtype} ${formatBytes(size)}`).join(", ");
  output.print(
    `  ${tensors.length} tensors, ${parameters.toLocaleString("en")} numbers, ${formatBytes(bytes)} (${kinds})`,
  );
  for (const [key, value] of Object.entries(metadata)) {
    output.print(`  ${key}: ${value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE)}...` : value}`);
  }
  if (!flags.tensors) return;
  const rows = tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, `[${shape.join(", ")}]`, String(bytes)]);
  if (rows.length > 0) output.print(`${formatTable(["tensor", "dtype", "shape", "bytes"], rows, [3])}\n`);
}
