// Files that are right, and files that lie.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf } from "../../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats, readInts } from "../../src/io/weights.ts";
import { countedBytes } from "./_weights_files.ts";

/** A file with any header, be it a lie: text or JSON, then data. */
function fileOf(header: unknown, dataBytes: number, headerLength?: number | bigint): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength ?? text.length), true);
  file.set(text, 8);
  return file;
}

const tensor = (begin: unknown, end: unknown, shape: unknown = [1], dtype: unknown = "F32") => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const open = (file: Uint8Array<ArrayBuffer>) => openSafetensors(bytesOf("lie.safetensors", file));

const LIES: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "no bytes at all": [new Uint8Array(0), /0 bytes/],
  "less than the length": [new Uint8Array(7), /7 bytes/],
  "a header longer than the file": [fileOf({}, 0, 3), /header would be 3 bytes/],
  "a header of 2^64 - 1 bytes": [fileOf({}, 0, 2n ** 64n - 1n), /100000000 are allowed/],
  "a header of more than 100 MB": [fileOf({}, 0, 100_000_001), /100000000 are allowed/],
  "an empty header": [fileOf("", 0), /not valid JSON/],
  "a header cut short": [fileOf('{"a":{"dtype":"F3', 0), /not valid JSON/],
  "a header that is not UTF-8": [fileOf("  ", 0).fill(0xff, 8), /not UTF-8/],
  "a header that is a list": [fileOf([], 0), /not a JSON object/],
  "a header that is null": [fileOf("null", 0), /not a JSON object/],
  "deep nesting": [fileOf("[".repeat(1_000_000), 0), /nests deeper/],
  "a tensor that is a number": [fileOf({ a: 3 }, 0), /"a" is not described by an object/],
  "a tensor that is a list": [fileOf({ a: [] }, 0), /"a" is not described by an object/],
  "no dtype": [fileOf({ a: { shape: [1], data_offsets: [0, 4] } }, 4), /"a" has the dtype undefined/],
  "an unknown dtype": [fileOf({ a: tensor(0, 4, [1], "F31") }, 4), /dtype "F31"/],
  "a dtype of every object": [fileOf({ a: tensor(0, 4, [1], "constructor") }, 4), /dtype "constructor"/],
  "a dtype __proto__": [fileOf({ a: tensor(0, 4, [1], "__proto__") }, 4), /dtype "__proto__"/],
  "no shape": [fileOf({ a: { dtype: "F32", data_offsets: [0, 4] } }, 4), /shape undefined/],
  "a negative axis": [fileOf({ a: tensor(0, 4, [-1]) }, 4), /shape \[-1\]/],
  "two negative axes": [fileOf({ a: tensor(0, 4, [-1, -1]) }, 4), /shape \[-1,-1\]/],
  "half an axis": [fileOf({ a: tensor(0, 2, [0.5]) }, 2), /shape \[0.5\]/],
  "an axis in words": [fileOf({ a: tensor(0, 4, ["1"]) }, 4), /shape \["1"\]/],
  "a huge axis": [fileOf({ a: tensor(0, 4, [1e300]) }, 4), /shape \[1e\+300\]/],
  "axes whose product is huge": [fileOf({ a: tensor(0, 4, Array(40).fill(2 ** 40)) }, 4), /needs .* bytes/],
  "axes whose product wraps to the size": [fileOf({ a: tensor(0, 4, [2 ** 32 + 1, 2 ** 32]) }, 4), /needs .* bytes/],
  "no offsets": [fileOf({ a: { dtype: "F32", shape: [1] } }, 4), /offsets undefined/],
  "one offset": [fileOf({ a: { dtype: "F32", shape: [1], data_offsets: [0] } }, 4), /offsets \[0\]/],
  "a negative offset": [fileOf({ a: tensor(-4, 0) }, 4), /offsets \[-4,0\]/],
  "half an offset": [fileOf({ a: tensor(0.5, 4.5) }, 5), /offsets \[0.5,4.5\]/],
  "offsets in the wrong order": [fileOf({ a: tensor(4, 0) }, 4), /begins at 4 and ends before/],
  "offsets beyond 2^53": [fileOf({ a: tensor(2 ** 60, 2 ** 60 + 1024, [256]) }, 4), /offsets/],
  "less bytes than the shape": [fileOf({ a: tensor(0, 4, [2]) }, 4), /"a" F32 \[2\] needs 8 bytes.*\[0, 4\) hold 4/],
  "more bytes than the shape": [fileOf({ a: tensor(0, 8, [1]) }, 8), /needs 4 bytes/],
  "offsets behind the end": [fileOf({ a: tensor(0, 8, [2]) }, 4), /"a" has the offsets \[0, 8\), and the file holds 4/],
  "tensors that overlap": [fileOf({ a: tensor(0, 4), b: tensor(2, 6) }, 6), /"b" has the offsets \[2, 6\).*go on to 4/],
  "the same bytes twice": [fileOf({ a: tensor(0, 4), b: tensor(0, 4) }, 4), /go on to 4/],
  "a gap between tensors": [fileOf({ a: tensor(0, 4), b: tensor(8, 12) }, 12), /no tensor holds the bytes from 4/],
  "a gap before the first": [fileOf({ a: tensor(4, 8) }, 8), /no tensor holds the bytes from 0/],
  "bytes behind the last": [fileOf({ a: tensor(0, 4) }, 5), /tensors end at 4, and the file holds 5/],
  "bytes and no tensor": [fileOf({}, 1), /tensors end at 0/],
  "one name twice": [
    fileOf(`{"a":${JSON.stringify(tensor(0, 4))},"\\u0061":${JSON.stringify(tensor(0, 4))}}`, 4),
    /stands twice/,
  ],
  "one field twice": [
    fileOf('{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}', 4),
    /stands twice/,
  ],
  "metadata that is a list": [fileOf({ __metadata__: [] }, 0), /__metadata__ is not an object/],
  "metadata with numbers": [fileOf({ __metadata__: { format: 1 } }, 0), /__metadata__ "format" is not a string/],
};

for (const [lie, [file, says]] of Object.entries(LIES)) {
  Deno.test(`openSafetensors() refuses ${lie}`, async () => {
    await assert.rejects(open(file), (error) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, /lie\.safetensors/);
      assert.match(error.message, says);
      assert.ok(error.message.length < 700, "the message stays short");
      return true;
    });
  });
}

Deno.test("openSafetensors() keeps messages short when names and dtypes are long", async () => {
  const name = "n".repeat(100_000);
  await assert.rejects(open(fileOf({ [name]: tensor(0, 4, [1], name) }, 4)), ({ message }) => message.length < 700);
  await assert.rejects(
    open(fileOf({ [name]: tensor(0, 4, Array(9999).fill(1)) }, 5)),
    ({ message }) => message.length < 700,
  );
  await assert.rejects(open(fileOf({ [name]: tensor(0, 4, [2]) }, 4)), ({ message }) => message.length < 700);
});

Deno.test("openSafetensors() takes names that mean something to JavaScript as plain names", async () => {
  const file = fileOf(
    `{"__proto__":${JSON.stringify(tensor(0, 4))},"constructor":${JSON.stringify(tensor(4, 8))},` +
      `"__metadata__":{"__proto__":"x"}}`,
    8,
  );
  using weights = await open(file);
  assert.deepEqual(weights.names(), ["__proto__", "constructor"]);
  assert.deepEqual(weights.info("__proto__").shape, [1]);
  assert.equal(weights.has("toString"), false);
  assert.equal(weights.metadata["__proto__"], "x");
  assert.equal(weights.metadata.toString, undefined);
  assert.equal(({} as Record<string, unknown>).dtype, undefined);
  assert.throws(() => weights.info("valueOf"), WeightsError);
});

Deno.test("openSafetensors() takes empty tensors, scalars, spaces behind the header and tensors in any order", async () => {
  const header = JSON.stringify({ z: tensor(0, 4, []), a: tensor(8, 8, [3, 0]), m: tensor(4, 8) });
  using weights = await open(fileOf(header + "    ", 8));
  assert.deepEqual(weights.names(), ["a", "m", "z"]);
  assert.equal((await weights.read("a")).length, 0);
  assert.equal((await readFloats(weights, "z")).length, 1);
});

Deno.test("openSafetensors() reads by range and never the whole file", async () => {
  const file = encodeSafetensors({ w: { dtype: "F32", shape: [1000], data: new Float32Array(1000).map((_, i) => i) } });
  const { source, lengths } = countedBytes(file);
  using weights = await openSafetensors(source);
  const part = await weights.read("w", 40, 48);
  assert.deepEqual([...new Float32Array(part.slice().buffer)], [10, 11]);
  assert.deepEqual(lengths.filter((length) => length > 100), []);
  for (const [start, end] of [[-1, 4], [0, 4001], [8, 4], [0.5, 4.5], [0, NaN]]) {
    await assert.rejects(weights.read("w", start, end), WeightsError);
  }
});

Deno.test("openSafetensors() closes its source when the file is wrong, and when it is disposed", async () => {
  for (const file of [new Uint8Array(3), encodeSafetensors({})]) {
    let closed = 0;
    const source = { ...bytesOf("closing", file), close: () => void closed++ };
    await openSafetensors(source).then((weights) => weights[Symbol.dispose](), () => {});
    assert.equal(closed, 1);
  }
});

Deno.test("encodeSafetensors() and openSafetensors() carry every dtype there and back", async () => {
  const file = encodeSafetensors({
    f64: { dtype: "F64", shape: [2], data: Float64Array.of(0.1, -1e300) },
    f32: { dtype: "F32", shape: [1, 2], data: Float32Array.of(0.1, -0) },
    f16: { dtype: "F16", shape: [2], data: Uint16Array.of(0x3c00, 0xfc00) },
    bf16: { dtype: "BF16", shape: [2], data: Uint16Array.of(0x3f80, 0xff80) },
    i64: { dtype: "I64", shape: [2], data: BigInt64Array.of(-5n, 2n ** 53n) },
    i32: { dtype: "I32", shape: [1], data: Int32Array.of(-7) },
    i16: { dtype: "I16", shape: [1], data: Int16Array.of(-8) },
    i8: { dtype: "I8", shape: [3], data: Int8Array.of(-9, 1, 2) },
    u8: { dtype: "U8", shape: [1], data: Uint8Array.of(255) },
    bool: { dtype: "BOOL", shape: [2], data: Uint8Array.of(1, 0) },
  }, { format: "pt", note: "ünï" });
  using weights = await open(file);
  assert.deepEqual({ ...weights.metadata }, { format: "pt", note: "ünï" });
  const floats: Record<string, number[]> = {
    f64: [Math.fround(0.1), -Infinity],
    f32: [Math.fround(0.1), -0],
    f16: [1, -Infinity],
    bf16: [1, -Infinity],
    i64: [-5, 2 ** 53],
    i32: [-7],
    i16: [-8],
    i8: [-9, 1, 2],
    u8: [255],
    bool: [1, 0],
  };
  for (const [name, expected] of Object.entries(floats)) {
    assert.deepEqual([...await readFloats(weights, name)], expected, name);
  }
  assert.deepEqual(await readInts(weights, "bool"), [1, 0]);
  assert.deepEqual(await readInts(weights, "i8"), [-9, 1, 2]);
  await assert.rejects(readInts(weights, "i64"), /9007199254740992/);
  await assert.rejects(readInts(weights, "bf16"), WeightsError);
});

Deno.test("encodeSafetensors() gives the same bytes whatever the order, and refuses shapes that do not fit", () => {
  const [a, b] = [1, 2].map((value) => ({ dtype: "F32" as const, shape: [1], data: Float32Array.of(value) }));
  assert.deepEqual(encodeSafetensors({ a, b }, { x: "1", y: "2" }), encodeSafetensors({ b, a }, { y: "2", x: "1" }));
  assert.throws(() => encodeSafetensors({ a: { ...a, shape: [2] } }), WeightsError);
  assert.throws(() => encodeSafetensors({ ["__metadata__"]: a }), WeightsError);
});
