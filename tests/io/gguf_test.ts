// GGUF files, their block formats against ggml's numbers, and files that lie.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, readBytes } from "../../src/io/byte_source.ts";
import { openGguf } from "../../src/io/gguf.ts";
import { BLOCK_OF, dequantizeBlocks, quantizeQ4_0, quantizeQ8_0, type QuantType } from "../../src/io/gguf_blocks.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import { mapT5GgufNames } from "../../src/io/t5_gguf_names.ts";
import { floatsOf, readFloats, readInts } from "../../src/io/weights.ts";
import { assertSame, concat, golden, le } from "./_weights_files.ts";

Deno.test("openGguf() reads every type of blocks as ggml's reference does, bit for bit", async () => {
  using weights = await openGguf(golden("gguf/blocks.gguf"));
  using expected = await openSafetensors(golden("gguf/blocks.safetensors"));
  assert.deepEqual(weights.names(), expected.names());
  await assertSame(weights, expected);
  for (const type of Object.keys(BLOCK_OF)) assert.equal(weights.info(type.toLowerCase()).dtype, type);
  assert.deepEqual(await readInts(weights, "i32"), [0, 1, 2, 3, 4]);
  await assert.rejects(readInts(weights, "q8_0"), /whole numbers/);
  assert.equal(weights.metadata["general.name"], "tiny");
  assert.equal(weights.metadata.tokens, "a list of 40");
  assert.equal(weights.metadata.few, "[1, 2, 3]");
  assert.equal(weights.metadata.neg, "-5");
});

Deno.test("openGguf() reads part of a tensor: a row of blocks", async () => {
  using weights = await openGguf(golden("gguf/blocks.gguf"));
  const { shape, byteLength } = weights.info("q4_k");
  assert.deepEqual([shape, byteLength], [[2, 512], 4 * 144]);
  const row = floatsOf("Q4_K", await weights.read("q4_k", 2 * 144, 4 * 144));
  assert.deepEqual(row, (await readFloats(weights, "q4_k")).slice(512));
});

Deno.test("quantizeQ8_0() and quantizeQ4_0() give ggml's bytes", async () => {
  using expected = await openSafetensors(golden("gguf/quantized.safetensors"));
  const floats = await readFloats(expected, "x");
  assert.deepEqual(quantizeQ8_0(floats), (await expected.read("q8_0")).slice());
  assert.deepEqual(quantizeQ4_0(floats), (await expected.read("q4_0")).slice());
});

Deno.test("quantizeQ8_0() and quantizeQ4_0() stay near the numbers", () => {
  const floats = new Float32Array(32 * 50).map((_, i) => Math.sin(i * 1.7) * 10 ** ((i % 4) - 1));
  // Half a step of Q8_0; a whole step of Q4_0, which has one level less on one side. The scale's own rounding comes on top.
  for (const [type, quantize, steps] of [["Q8_0", quantizeQ8_0, 254], ["Q4_0", quantizeQ4_0, 8]] as const) {
    const back = dequantizeBlocks(type, quantize(floats));
    for (let from = 0; from < floats.length; from += 32) {
      const most = Math.max(...floats.subarray(from, from + 32).map(Math.abs));
      for (let i = from; i < from + 32; i++) {
        assert.ok(Math.abs(back[i] - floats[i]) <= (most / steps) * 1.15, `${type} ${i}`);
      }
    }
  }
});

Deno.test("quantizeQ8_0() and dequantizeBlocks() refuse what is not whole blocks of finite numbers", () => {
  assert.throws(() => quantizeQ8_0(new Float32Array(33)), /\[33\] as Q8_0: a block has 32/);
  assert.throws(() => quantizeQ8_0(new Float32Array(32).fill(NaN, 5)), /element 5 is NaN/);
  assert.throws(() => quantizeQ4_0(new Float32Array(64).fill(-Infinity, 40)), /element 40 is -Infinity/);
  assert.throws(() => dequantizeBlocks("Q6_K", new Uint8Array(211)), WeightsError);
  assert.throws(() => dequantizeBlocks("Q8_0", new Uint8Array(34), new Float32Array(31)), WeightsError);
  assert.equal(dequantizeBlocks("Q8_0", new Uint8Array(0)).length, 0);
});

Deno.test("mapT5GgufNames() gives the names that transformers has, and leaves a decoder out", async () => {
  using t5 = await openSafetensors(golden("t5/model.safetensors"));
  const back: [RegExp, string][] = [
    [/^shared\.weight$/, "token_embd.weight"],
    [/^encoder\.final_layer_norm\./, "enc.output_norm."],
    [/^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.relative_attention_bias\./, "enc.blk.$1.attn_rel_b."],
    [/^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.(\w)\./, "enc.blk.$1.attn_$2."],
    [/^encoder\.block\.(\d+)\.layer\.0\.layer_norm\./, "enc.blk.$1.attn_norm."],
    [/^encoder\.block\.(\d+)\.layer\.1\.layer_norm\./, "enc.blk.$1.ffn_norm."],
    [/^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_0\./, "enc.blk.$1.ffn_gate."],
    [/^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_1\./, "enc.blk.$1.ffn_up."],
    [/^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wo\./, "enc.blk.$1.ffn_down."],
  ];
  const one = (value: number) => ({ dtype: "F32" as const, shape: [1], data: Float32Array.of(value) });
  const wanted = t5.names().filter((name) => name !== "encoder.embed_tokens.weight");
  const tensors = new Map(wanted.map((name, i) => {
    const rule = back.find(([pattern]) => pattern.test(name));
    return [rule ? name.replace(...rule) : name, one(i)];
  }));
  for (const extra of ["dec.blk.0.attn_q.weight", "enc.blk.1.attn_rel_b.weight"]) tensors.set(extra, one(-1));
  using weights = mapT5GgufNames(await openSafetensors(bytesOf("t5", encodeSafetensors(tensors))));
  assert.deepEqual(weights.names(), wanted);
  for (const [i, name] of wanted.entries()) assert.deepEqual([...await readFloats(weights, name)], [i], name);
  assert.throws(() => weights.info("enc.output_norm.weight"), WeightsError);
  const twice = new Map([["token_embd.weight", one(1)], ["shared.weight", one(2)]]);
  const source = await openSafetensors(bytesOf("t5", encodeSafetensors(twice)));
  assert.throws(() => mapT5GgufNames(source), /shared\.weight/);
});

const text = (value: string) => concat(le(value.length, 8), value);

interface Lie {
  magic?: string;
  version?: number;
  entries?: Uint8Array[];
  tensors?: Uint8Array[];
  tensorCount?: number;
  entryCount?: number;
  data?: number;
}

/** A file with any header, be it a lie, and zeros for data. */
function fileOf(
  { magic = "GGUF", version = 3, entries = [], tensors = [], data = 0, ...counts }: Lie,
): Uint8Array<ArrayBuffer> {
  const { tensorCount = tensors.length, entryCount = entries.length } = counts;
  const header = concat(magic, le(version, 4), le(tensorCount, 8), le(entryCount, 8), ...entries, ...tensors);
  return concat(header, Array(Math.ceil(header.length / 32) * 32 - header.length).fill(0), Array(data).fill(0));
}

const tensor = (sizes: number[], { name = "w", type = 0, offset = 0, axes = sizes.length } = {}) =>
  concat(text(name), le(axes, 4), ...sizes.map((size) => le(size, 8)), le(type, 4), le(offset, 8));
const entry = (key: string, type: number, value: number[] | Uint8Array) => concat(text(key), le(type, 4), value);

const LIES: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "nothing": [new Uint8Array(0), /file ends at 0/],
  "another magic": [fileOf({ magic: "GGML" }), /does not begin with GGUF/],
  "version 1": [fileOf({ version: 1 }), /version is 1/],
  "big-endian numbers": [fileOf({ version: 3 * 2 ** 24 }), /big-endian/],
  "2^40 tensors": [fileOf({ tensorCount: 2 ** 40 }), /would have 1099511627776 tensors/],
  "more tensors than there are": [fileOf({ tensorCount: 5 }), /./],
  "a header cut off": [fileOf({ tensors: [tensor([4])], data: 16 }).slice(0, 40), /file ends at 40/],
  "a key of 2^40 bytes": [fileOf({ entries: [concat(le(2 ** 40, 8), le(0, 4))] }), /string at 24 would have/],
  "a string of 2^40 bytes": [fileOf({ entries: [entry("k", 8, le(2 ** 40, 8))] }), /would have 1099511627776 bytes/],
  "an unknown type of value": [fileOf({ entries: [entry("k", 13, le(0, 8))] }), /unknown type 13/],
  "one key twice": [fileOf({ entries: [entry("k", 0, [1]), entry("k", 0, [1])] }), /"k".*stands twice/],
  "a list of 2^40 items": [
    fileOf({ entries: [entry("k", 9, [...le(0, 4), ...le(2 ** 40, 8)])] }),
    /1099511627776 items/,
  ],
  "lists in lists": [
    fileOf({ entries: [entry("k", 9, Array.from({ length: 9 }, () => [...le(9, 4), ...le(1, 8)]).flat())] }),
    /in more than three others/,
  ],
  "a list longer than the file": [fileOf({ entries: [entry("k", 9, [...le(4, 4), ...le(10_000, 8)])] }), /file ends/],
  "an alignment of 3": [fileOf({ entries: [entry("general.alignment", 4, le(3, 4))] }), /alignment 3/],
  "an alignment of 0": [fileOf({ entries: [entry("general.alignment", 4, le(0, 4))] }), /alignment 0/],
  "an alignment in words": [fileOf({ entries: [entry("general.alignment", 8, text("32"))] }), /alignment/],
  "an unknown type of tensor": [
    fileOf({ tensors: [tensor([256], { type: 19 })], data: 999 }),
    /"w", at 24, has the type 19/,
  ],
  "five axes": [fileOf({ tensors: [tensor([1, 1, 1, 1, 1])], data: 4 }), /has 5 axes/],
  "2^32 - 1 axes": [fileOf({ tensors: [tensor([], { axes: 2 ** 32 - 1 })] }), /axes/],
  "rows that are no whole blocks": [fileOf({ tensors: [tensor([33], { type: 8 })], data: 68 }), /rows of 33 elements/],
  "a scalar in blocks": [fileOf({ tensors: [tensor([], { type: 8 })], data: 34 }), /not whole blocks/],
  "a huge shape": [fileOf({ tensors: [tensor([2 ** 40, 2 ** 40])], data: 4 }), /which no file holds/],
  "a shape that wraps to the size": [fileOf({ tensors: [tensor([2 ** 32 + 1, 2 ** 32])], data: 4 }), /\[/],
  "a tensor longer than the file": [
    fileOf({ tensors: [tensor([5])], data: 16 }),
    /\[0, 20\) of the data, and the file holds 16/,
  ],
  "an offset that is not aligned": [fileOf({ tensors: [tensor([1], { offset: 4 })], data: 64 }), /multiple of 32/],
  "an offset behind the end": [fileOf({ tensors: [tensor([1], { offset: 2 ** 40 })], data: 64 }), /the file holds 64/],
  "a gap": [fileOf({ tensors: [tensor([1], { offset: 32 })], data: 64 }), /should begin at 0/],
  "tensors that overlap": [
    fileOf({ tensors: [tensor([1]), tensor([1], { name: "v" })], data: 64 }),
    /should begin at 32/,
  ],
  "one name twice": [fileOf({ tensors: [tensor([1]), tensor([1], { offset: 32 })], data: 64 }), /"w" stands twice/],
};

for (const [lie, [file, says]] of Object.entries(LIES)) {
  Deno.test(`openGguf() refuses ${lie}`, async () => {
    await assert.rejects(openGguf(bytesOf("lie.gguf", file)), (error) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, /lie\.gguf/);
      assert.match(error.message, says);
      assert.ok(error.message.length < 700);
      return true;
    });
  });
}

Deno.test("openGguf() takes version 2, other alignments, empty tensors and scalars", async () => {
  const file = fileOf({
    version: 2,
    entries: [entry("general.alignment", 4, le(64, 4)), entry("__proto__", 7, [1])],
    tensors: [
      tensor([], { name: "scalar" }),
      tensor([0, 3], { name: "empty", offset: 64 }),
      tensor([2, 3], { offset: 64 }),
    ],
    data: 64 + 64 + 24,
  });
  using weights = await openGguf(bytesOf("file", file));
  assert.deepEqual(weights.info("w").shape, [3, 2]);
  assert.deepEqual(weights.info("scalar").shape, []);
  assert.equal((await weights.read("empty")).length, 0);
  assert.equal(weights.metadata["__proto__"], "true");
});

Deno.test("openGguf() reads a header that is longer than its first window", async () => {
  const tokens = Array.from({ length: 100_000 }, () => [...le(3, 8), 0x61, 0x62, 0x63]).flat();
  const file = fileOf({
    entries: [entry("tokens", 9, concat(le(8, 4), le(100_000, 8), tokens))],
    tensors: [tensor([1])],
    data: 4,
  });
  using weights = await openGguf(bytesOf("file", file));
  assert.equal(weights.metadata.tokens, "a list of 100000");
  assert.equal((await readFloats(weights, "w")).length, 1);
});

Deno.test("openGguf() refuses a file wherever its header is cut off", async () => {
  const file = await readBytes(golden("gguf/blocks.gguf"));
  for (let length = 0; length < 1200; length += 7) {
    await assert.rejects(openGguf(bytesOf("cut", file.slice(0, length))), WeightsError);
  }
});

Deno.test("dequantizeBlocks() gives numbers for any bytes at all", () => {
  for (const [type, { elements, bytes }] of Object.entries(BLOCK_OF)) {
    const blocks = new Uint8Array(bytes * 256).map((_, i) => (i * 131 + (i >> 8)) & 255);
    assert.equal(dequantizeBlocks(type as QuantType, blocks).length, elements * 256);
  }
});
