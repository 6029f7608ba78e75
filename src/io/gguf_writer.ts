// Writing GGUF, the format of ggml's programs. In: a WeightSource, read piece by piece, and what the file says of itself. Out: a file of
// version 3; the same tensors always give the same bytes. Shapes are turned round: ggml counts the fastest axis first.

import { WeightsError } from "../errors.ts";
import { GGUF_TYPES } from "./gguf.ts";
import type { OutputFile } from "./output_file.ts";
import { streamTensor, type WriteOptions } from "./tensor_stream.ts";
import { describe, type StoredDType, type WeightSource } from "./weights.ts";

const ALIGNMENT = 32;
const MOST_AXES = 4;

/** The numbers of ggml's types. */
const TYPES: Partial<Record<StoredDType, number>> = Object.fromEntries(
  Object.entries(GGUF_TYPES).map(([number, dtype]) => [dtype, Number(number)]),
);

/** A value of the metadata; whole numbers are u32, others f32. */
export type GgufValue = string | number | boolean;

class Header {
  readonly #parts: Uint8Array[] = [];

  bytes(part: Uint8Array): void {
    this.#parts.push(part);
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.u64(encoded.length);
    this.bytes(encoded);
  }

  value(value: GgufValue): void {
    if (typeof value === "string") {
      this.u32(8);
      this.text(value);
    } else if (typeof value === "boolean") {
      this.u32(7);
      this.bytes(Uint8Array.of(value ? 1 : 0));
    } else if (Number.isInteger(value) && value >= 0) {
      this.u32(4);
      this.u32(value);
    } else {
      this.u32(6);
      this.bytes(new Uint8Array(Float32Array.of(value).buffer));
    }
  }

  /** All of it, with zeros up to a multiple of the alignment. */
  finish(): Uint8Array {
    const length = this.#parts.reduce((sum, part) => sum + part.length, 0);
    const all = new Uint8Array(aligned(length));
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

const aligned = (size: number) => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

/**
 * Writes tensors as a GGUF file.
 *
 * @param metadata What the file says of itself; `general.architecture` must be there for ggml's programs.
 * @throws {WeightsError} when a tensor has a dtype or more axes than the format has.
 */
export async function writeGguf(
  file: OutputFile,
  source: WeightSource,
  metadata: Readonly<Record<string, GgufValue>>,
  options: WriteOptions = {},
): Promise<void> {
  const infos = source.names().map((name) => source.info(name));
  const header = new Header();
  header.bytes(new TextEncoder().encode("GGUF"));
  header.u32(3);
  header.u64(infos.length);
  header.u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    header.text(key);
    header.value(value);
  }
  let offset = 0;
  for (const info of infos) {
    const type = TYPES[info.dtype];
    if (type === undefined || info.shape.length > MOST_AXES) {
      throw new WeightsError(
        `Cannot write ${
          describe(info)
        } of ${source.name} as GGUF takes up to ${MOST_AXES} axes of known types: it does not fit`,
      );
    }
    header.text(info.name);
    header.u32(info.shape.length);
    for (const size of info.shape.toReversed()) header.u64(size);
    header.u32(type);
    header.u64(offset);
    offset += aligned(info.byteLength);
  }
  await file.append(header.finish());
  for (const { name, byteLength } of infos) {
    await streamTensor(source, name, options, (bytes) => file.append(bytes));
    await file.append(new Uint8Array(aligned(byteLength) - byteLength));
  }
}
