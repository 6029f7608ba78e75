// Files as torch.save writes them, which torch.load reads with weights_only. In: a WeightSource, read piece by piece. Out: a zip archive
// of a pickle, `{"state_dict": {name: tensor}}`, and the tensors' storages; the same tensors always give the same bytes.

import { WeightsError } from "../errors.ts";
import { isQuantType } from "./gguf_blocks.ts";
import type { OutputFile } from "./output_file.ts";
import { rowMajor } from "./strided.ts";
import { streamTensor, type WriteOptions } from "./tensor_stream.ts";
import { BYTES_OF, describe, type TensorDType, type TensorInfo, type WeightSource } from "./weights.ts";
import { ZipStream } from "./zip_stream.ts";

/** The class that a pickle names for the storage of each dtype. */
const STORAGES: Readonly<Record<TensorDType, string>> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

/** The version of torch's archive that this is. */
const VERSION = "3\n";
const ALIGNMENT = 64;
const FOLDER = "archive";

/** A pickle of protocol 2 that grows: just the values that a dict of tensors has. */
class Pickle {
  readonly #bytes: number[] = [0x80, 2];

  op(...codes: (string | number)[]): this {
    for (const code of codes) this.#bytes.push(typeof code === "string" ? code.charCodeAt(0) : code);
    return this;
  }

  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    this.op("X").#little(bytes.length, 4);
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  /** A whole number from 0 on. */
  int(value: number): this {
    if (value < 256) return this.op("K", value);
    if (value < 2 ** 31) return this.op("J").#little(value, 4);
    return this.op(0x8a, 8).#little(value, 8);
  }

  global(module: string, name: string): this {
    this.op("c");
    for (const byte of new TextEncoder().encode(`${module}\n${name}\n`)) this.#bytes.push(byte);
    return this;
  }

  ints(values: readonly number[]): this {
    this.op("(");
    for (const value of values) this.int(value);
    return this.op("t");
  }

  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.op(".").#bytes);
  }

  #little(value: number, bytes: number): this {
    for (let i = 0; i < bytes; i++) this.#bytes.push(Math.floor(value / 256 ** i) & 255);
    return this;
  }
}

function addTensor(pickle: Pickle, { dtype, shape, byteLength }: TensorInfo, key: string): void {
  const stored = dtype as TensorDType;
  pickle.global("torch._utils", "_rebuild_tensor_v2").op("(");
  pickle.op("(").text("storage").global("torch", STORAGES[stored]).text(key).text("cpu");
  pickle.int(byteLength / BYTES_OF[stored]).op("t", "Q");
  pickle.int(0).ints(shape).ints(rowMajor(shape));
  pickle.op(0x89).global("collections", "OrderedDict").op(")", "R"); // no gradient, no hooks
  pickle.op("t", "R");
}

/**
 * Writes tensors as a torch file.
 *
 * @throws {WeightsError} when a tensor is in blocks, which torch does not have.
 */
export async function writeTorchFile(
  file: OutputFile,
  source: WeightSource,
  options: WriteOptions = {},
): Promise<void> {
  const infos = source.names().map((name) => source.info(name));
  const quantized = infos.find(({ dtype }) => isQuantType(dtype));
  if (quantized) {
    throw new WeightsError(`Cannot write ${describe(quantized)} of ${source.name} as torch has no blocks: write GGUF`);
  }
  const pickle = new Pickle().op("}", "(").text("state_dict").op("}", "(");
  for (const [i, info] of infos.entries()) addTensor(pickle.text(info.name), info, String(i));
  const bytes = pickle.op("u", "u").finish();
  const zip = new ZipStream(file, ALIGNMENT);
  const add = (name: string, content: Uint8Array) =>
    zip.add(`${FOLDER}/${name}`, content.length, (append) => append(content));
  await add("data.pkl", bytes);
  await add("byteorder", new TextEncoder().encode("little"));
  for (const [i, { name, byteLength }] of infos.entries()) {
    await zip.add(`${FOLDER}/data/${i}`, byteLength, (append) => streamTensor(source, name, options, append));
  }
  await add("version", new TextEncoder().encode(VERSION));
  await zip.finish();
}
