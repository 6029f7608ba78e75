// What the tests of weight files share. In: nothing, or parts of a file. Out: pickles and archives put together by hand, be they
// lies, and the comparison of two sources.
import assert from "node:assert/strict";
import { bytesOf, type ByteSource } from "../../src/io/byte_source.ts";
import { readFloats, type WeightSource } from "../../src/io/weights.ts";
import { writeZip } from "../../src/io/zip_writer.ts";

/** The path of a golden file. */
export const golden = (path: string) => new URL(`../golden/${path}`, import.meta.url);

export const ascii = (text: string) => Uint8Array.from(text, (sign) => sign.charCodeAt(0));

/** Bytes to be read, and how long each range was that was read of them. */
export function countedBytes(file: Uint8Array<ArrayBuffer>): { source: ByteSource; lengths: number[] } {
  const lengths: number[] = [];
  const inner = bytesOf("counted", file);
  const read: ByteSource["read"] = (offset, length) => {
    lengths.push(length);
    return inner.read(offset, length);
  };
  return { source: { ...inner, read }, lengths };
}

/** Bytes one behind the other: text stands for its latin-1 bytes. */
export function concat(...parts: (string | number[] | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...(typeof part === "string" ? ascii(part) : part)]));
}

/** Little-endian numbers of any width. */
export const le = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) & 255);

/** Pieces of a pickle of protocol 2. */
export const pickle = {
  start: "\x80\x02",
  stop: ".",
  global: (module: string, name: string) => `c${module}\n${name}\n`,
  text: (value: string) => concat("X", le(value.length, 4), value),
  int: (value: number) => value < 2 ** 31 ? concat("J", le(value, 4)) : concat("\x8a\x07", le(value, 7)),
  tuple: (...items: (string | Uint8Array)[]) => concat("(", ...items, "t"),
  dict: (...items: (string | Uint8Array)[]) => concat("}(", ...items, "u"),
  storage: (kind: string, key: string, count: number) =>
    concat(
      pickle.tuple(
        pickle.text("storage"),
        pickle.global("torch", kind),
        pickle.text(key),
        pickle.text("cpu"),
        pickle.int(count),
      ),
      "Q",
    ),
  tensor: (storage: Uint8Array, offset: number, shape: number[], strides: number[]) =>
    concat(
      pickle.global("torch._utils", "_rebuild_tensor_v2"),
      pickle.tuple(
        storage,
        pickle.int(offset),
        pickle.tuple(...shape.map(pickle.int)),
        pickle.tuple(...strides.map(pickle.int)),
        "\x89",
        `${pickle.global("collections", "OrderedDict")})R`,
      ),
      "R",
    ),
};

/** A file as torch.save writes it, of a pickle and its storages. */
export function torchZip(
  body: Uint8Array | string,
  storages: Record<string, Uint8Array> = {},
  others: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const files: [string, Uint8Array][] = [["a/data.pkl", concat(pickle.start, body, pickle.stop)]];
  for (const [name, text] of Object.entries(others)) files.push([`a/${name}`, ascii(text)]);
  for (const [key, bytes] of Object.entries(storages)) files.push([`a/data/${key}`, bytes]);
  return writeZip(files, { alignment: 64 });
}

/** A torch file of one tensor `w` over f32 numbers. */
export function oneTensor(
  numbers: Float32Array,
  { count = numbers.length, kind = "FloatStorage", offset = 0, shape = [numbers.length], strides = [1] } = {},
): Uint8Array<ArrayBuffer> {
  const body = pickle.dict(pickle.text("w"), pickle.tensor(pickle.storage(kind, "0", count), offset, shape, strides));
  return torchZip(body, { 0: new Uint8Array(numbers.buffer) });
}

/** Every tensor of a source against the golden one of the same name: shape and numbers, bit for bit. */
export async function assertSame(source: WeightSource, expected: WeightSource, prefix = ""): Promise<void> {
  for (const name of source.names()) {
    assert.deepEqual(source.info(name).shape, expected.info(prefix + name).shape, name);
    assert.deepEqual(await readFloats(source, name), await readFloats(expected, prefix + name), name);
  }
}
