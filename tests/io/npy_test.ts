// NumPy's files: those that NumPy wrote, ours there and back, and files that lie.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, readBytes } from "../../src/io/byte_source.ts";
import { readNpy, writeNpy } from "../../src/io/npy.ts";
import { openNpy, openNpz, writeNpz } from "../../src/io/npz.ts";
import { openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { floatsOf, readFloats, type TensorDType } from "../../src/io/weights.ts";
import { writeZip } from "../../src/io/zip_writer.ts";
import { assertSame, concat, golden } from "./_weights_files.ts";

for (const file of ["arrays", "arrays_compressed"]) {
  Deno.test(`openNpz() reads every dtype and order of NumPy's ${file}.npz, and any part`, async () => {
    using arrays = await openNpz(golden(`numpy/${file}.npz`));
    using expected = await openSafetensors(golden("numpy/arrays.safetensors"));
    assert.deepEqual(arrays.names(), expected.names().filter((name) => arrays.has(name)));
    assert.ok(arrays.names().length >= 15);
    await assertSame(arrays, expected);
    for (const name of ["fortran", "big", "big_fortran", "i2", "f8"]) {
      assert.equal(arrays.info(name).dtype, expected.info(name).dtype);
      const whole = (await expected.read(name)).slice();
      for (let start = 0; start < whole.length; start += 11) {
        const end = Math.min(whole.length, start + 13);
        assert.deepEqual((await arrays.read(name, start, end)).slice(), whole.slice(start, end), name);
      }
    }
  });
}

for (const version of [1, 2, 3]) {
  Deno.test(`readNpy() and openNpy() read version ${version}`, async () => {
    using expected = await openSafetensors(golden("numpy/arrays.safetensors"));
    const { dtype, shape, data } = await readNpy(await readBytes(golden(`numpy/version${version}.npy`)));
    assert.deepEqual([dtype, shape], ["F64", [4, 3]]);
    assert.deepEqual(data.slice(), (await expected.read("fortran_f8")).slice());
    using source = await openNpy(golden(`numpy/version${version}.npy`));
    assert.deepEqual(await readFloats(source, "arr_0"), await readFloats(expected, "fortran_f8"));
  });
}

const DATA: Partial<Record<TensorDType, ArrayBufferView>> = {
  F64: Float64Array.of(0.1, -1e300),
  F32: Float32Array.of(0.1, -0),
  F16: Uint16Array.of(0x3c00, 0xfc00),
  I64: BigInt64Array.of(-5n, 2n ** 60n),
  I32: Int32Array.of(-7, 8),
  I16: Int16Array.of(-8, 9),
  I8: Int8Array.of(-9, 1),
  U8: Uint8Array.of(255, 0),
  BOOL: Uint8Array.of(1, 0),
};

Deno.test("writeNpy() and readNpy() carry every dtype and shape there and back", async () => {
  for (const [dtype, data] of Object.entries(DATA) as [TensorDType, ArrayBufferView][]) {
    for (const shape of [[2], [1, 2], [2, 1, 1]]) {
      const file = writeNpy({ dtype, shape, data });
      assert.equal((file.length - data.byteLength) % 64, 0);
      const back = await readNpy(file);
      assert.deepEqual([back.dtype, back.shape], [dtype, shape]);
      assert.deepEqual(back.data.slice(), new Uint8Array(data.buffer.slice(0)));
    }
  }
  const scalar = await readNpy(writeNpy({ dtype: "F32", shape: [], data: Float32Array.of(2.5) }));
  assert.deepEqual([...floatsOf(scalar.dtype, scalar.data)], [2.5]);
  const empty = await readNpy(writeNpy({ dtype: "F32", shape: [0, 3], data: new Float32Array(0) }));
  assert.deepEqual(empty.shape, [0, 3]);
});

Deno.test("writeNpy() refuses dtypes that NumPy lacks, and shapes that do not fit", () => {
  assert.throws(() => writeNpy({ dtype: "BF16", shape: [1], data: Uint16Array.of(1) }), /BF16 \[1\] as npy/);
  assert.throws(() => writeNpy({ dtype: "F32", shape: [2], data: Float32Array.of(1) }), WeightsError);
});

Deno.test("writeNpz() and openNpz() carry arrays there and back, stored and deflated", async () => {
  const caption = { dtype: "F16" as const, shape: [1, 300, 64], data: new Uint16Array(19200).map((_, i) => i % 7) };
  const mask = { dtype: "I16" as const, shape: [1, 300], data: new Int16Array(300).fill(1, 0, 20) };
  const sizes: number[] = [];
  for (const compress of [false, true]) {
    const tensors: Record<string, TensorData> = { caption_feature: caption, attention_mask: mask };
    const file = writeNpz(tensors, { compress });
    assert.deepEqual(file, writeNpz(new Map(Object.entries(tensors)), { compress }));
    sizes.push(file.length);
    using arrays = await openNpz(bytesOf("there.npz", file));
    assert.deepEqual(arrays.names(), ["attention_mask", "caption_feature"]);
    assert.deepEqual((await arrays.read("caption_feature")).slice(), new Uint8Array(caption.data.buffer));
    assert.deepEqual((await arrays.read("attention_mask", 36, 44)).slice(), Uint8Array.of(1, 0, 1, 0, 0, 0, 0, 0));
  }
  assert.ok(sizes[1] * 20 < sizes[0]);
});

/** An array file with any header, be it a lie. */
function fileOf(header: string, data = 0, version = 1): Uint8Array<ArrayBuffer> {
  const length = version === 1
    ? [header.length & 255, header.length >> 8]
    : [header.length & 255, header.length >> 8, 0, 0];
  return concat("\x93NUMPY", [version, 0], length, header, Array(data).fill(0));
}

const header = (descr: string, shape: string, order = "False") =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

const LIES: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "nothing": [new Uint8Array(0), /does not begin/],
  "another magic": [concat("\x93NUMPX", [1, 0, 2, 0], "{}"), /does not begin/],
  "version 4": [fileOf("{}", 0, 4), /version is 4/],
  "a header cut off": [fileOf(header("'<f4'", "(1,)"), 4).slice(0, 40), /would end at/],
  "a header of 4 GB": [concat("\x93NUMPY", [2, 0, 255, 255, 255, 255], "{}"), /65536 are allowed/],
  "a header that is no dict": [fileOf("hello, world"), /not that of a plain array/],
  "an expression": [fileOf(header("'<f4'", "(2**40,)")), /not that of a plain array/],
  "a call": [fileOf(header("__import__('os').system('id')", "(1,)")), /not that of a plain array/],
  "a missing key": [fileOf("{'descr': '<f4', 'shape': (1,), }", 4), /not that of a plain array/],
  "one key twice": [
    fileOf("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4),
    /plain array/,
  ],
  "objects": [fileOf(header("'|O'", "(1,)"), 8), /objects, which are pickled/],
  "complex numbers": [fileOf(header("'<c8'", "(1,)"), 8), /elements are '<c8'/],
  "text": [fileOf(header("'<U5'", "(1,)"), 20), /elements are '<U5'/],
  "unsigned words": [fileOf(header("'<u2'", "(1,)"), 2), /elements are '<u2'/],
  "records": [fileOf(header("[('a', '<f4')]", "(1,)"), 4), /not that of a plain array/],
  "a negative axis": [fileOf(header("'<f4'", "(-1,)"), 4), /not that of a plain array/],
  "less data than the shape": [fileOf(header("'<f4'", "(2,)"), 4), /needs 8 bytes, and 4 follow/],
  "more data than the shape": [fileOf(header("'<f4'", "(1,)"), 8), /needs 4 bytes, and 8 follow/],
  "a huge shape": [fileOf(header("'<f4'", "(1099511627776, 1099511627776)"), 4), /needs/],
  "a hundred axes": [fileOf(header("'<f4'", `(${"1, ".repeat(100)})`), 4), /shape/],
};

for (const [lie, [file, says]] of Object.entries(LIES)) {
  Deno.test(`readNpy() and openNpz() refuse ${lie}`, async () => {
    const check = (error: unknown) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, says);
      assert.ok(error.message.length < 500);
      return true;
    };
    await assert.rejects(readNpy(file), check);
    for (const deflate of [false, true]) {
      await assert.rejects(openNpz(bytesOf("lie.npz", writeZip([["a.npy", file]], { deflate }))), check);
    }
  });
}

Deno.test("openNpz() checks the checksum of what it reads whole", async () => {
  const file = writeNpz({ a: { dtype: "U8", shape: [50], data: new Uint8Array(50).fill(9) } });
  file[file.indexOf(9, 140)] = 8;
  using arrays = await openNpz(bytesOf("lie.npz", file));
  await assert.rejects(arrays.read("a"), /lie\.npz.*"a\.npy".*checksum/);
});

Deno.test("openNpz() refuses members that are no arrays", async () => {
  await assert.rejects(openNpz(bytesOf("lie.npz", writeZip([["a.txt", new Uint8Array(4)]]))), /"a\.txt" is no array/);
});
