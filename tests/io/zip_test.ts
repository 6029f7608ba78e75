// Zip archives that are right, large, or lies.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, type ByteSource } from "../../src/io/byte_source.ts";
import { crc32 } from "../../src/io/crc32.ts";
import { type ZipMember, ZipReader } from "../../src/io/zip_reader.ts";
import { writeZip } from "../../src/io/zip_writer.ts";
import { concat, le } from "./_weights_files.ts";

const wrong = (state: string) => new WeightsError(`Cannot read lie.zip: ${state}`);
const open = (file: Uint8Array<ArrayBuffer>) => ZipReader.open(bytesOf("lie.zip", file), wrong);

async function readAll(file: Uint8Array<ArrayBuffer>): Promise<void> {
  const zip = await open(file);
  for (const member of zip.members.values()) await zip.reader(member)(0, member.size);
}

const numbers = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) >> 7);

for (const deflate of [false, true]) {
  Deno.test(`ZipReader reads any part in any order when deflate is ${deflate}`, async () => {
    const zip = await open(
      writeZip([["empty", new Uint8Array(0)], ["ü/numbers", numbers]], { deflate, alignment: 64 }),
    );
    assert.deepEqual([...zip.members.keys()].sort(), ["empty", "ü/numbers"]);
    const read = zip.reader(zip.members.get("ü/numbers")!);
    for (const [start, length] of [[0, 10], [10, 5000], [99_990, 10], [3, 70_000], [50_000, 0], [0, 100_000]]) {
      assert.deepEqual((await read(start, length)).slice(), numbers.slice(start, start + length));
    }
    const parts = await Promise.all([70_000, 0, 30_000].map((start) => read(start, 20_000)));
    assert.deepEqual(parts.map((part) => part[7]), [70_007, 7, 30_007].map((at) => numbers[at]));
    assert.equal((await zip.reader(zip.members.get("empty")!)(0, 0)).length, 0);
    const memory = new Uint8Array(64);
    assert.equal((await read(5, 4, memory)).buffer, deflate ? memory.buffer : (await read(5, 4)).buffer);
  });
}

Deno.test("writeZip() aligns stored data and gives the same bytes each time", async () => {
  const files: [string, Uint8Array][] = [["a", numbers.subarray(0, 5)], ["bcd", numbers.subarray(0, 70)], [
    "e",
    numbers,
  ]];
  for (const alignment of [1, 2, 16, 64, 4096]) {
    const file = writeZip(files, { alignment });
    assert.deepEqual(file, writeZip(files, { alignment }));
    await readAll(file);
    for (const [, bytes] of files.slice(1)) {
      const at = file.findIndex((_, i) => i % alignment === 0 && bytes.every((byte, j) => file[i + j] === byte));
      assert.ok(at > 0, `no place at a multiple of ${alignment}`);
    }
  }
});

/** A source whose bytes are zero but where pieces lie, as large as one likes. */
function sparse(size: number, pieces: [at: number, bytes: Uint8Array][]): ByteSource {
  return {
    name: "sparse.zip",
    size,
    // deno-lint-ignore require-await
    async read(offset, length) {
      const out = new Uint8Array(length);
      for (const [at, bytes] of pieces) {
        for (let i = 0; i < bytes.length; i++) {
          if (at + i >= offset && at + i < offset + length) out[at + i - offset] = bytes[i];
        }
      }
      return out;
    },
    close() {},
    [Symbol.dispose]() {},
  };
}

/** A record of the directory, or the local header, of a stored member. */
function record(local: boolean, name: string, size: number, offset: number, extra: number[] = []): Uint8Array {
  const common = [
    ...le(20, 2),
    0,
    0,
    0,
    0,
    0,
    0,
    0x21,
    0,
    0,
    0,
    0,
    0,
    ...le(size, 4),
    ...le(size, 4),
    ...le(name.length, 2),
  ];
  return local
    ? concat("PK\x03\x04", common, le(extra.length, 2), name, extra)
    : concat("PK\x01\x02", le(20, 2), common, le(extra.length, 2), Array(10).fill(0), le(offset, 4), name, extra);
}

const all = 0xffffffff;

Deno.test("ZipReader reads zip64 archives with members beyond 4 GB", async () => {
  const large = 5 * 2 ** 30;
  const secondAt = 40 + large;
  const first = record(true, "large", all, 0, [1, 0, 16, 0, ...le(large, 8), ...le(large, 8)]);
  const second = record(true, "b", 3, 0);
  const directory = concat(
    record(false, "large", all, 0, [1, 0, 16, 0, ...le(large, 8), ...le(large, 8)]),
    record(false, "b", 3, all, [7, 0, 2, 0, 9, 9, 1, 0, 8, 0, ...le(secondAt + 1000, 8)]),
  );
  const at = secondAt + 1000 + 34;
  const end = at + directory.length;
  const tail = concat(
    concat(
      "PK\x06\x06",
      le(44, 8),
      le(45, 2),
      le(45, 2),
      le(0, 4),
      le(0, 4),
      le(2, 8),
      le(2, 8),
      le(directory.length, 8),
      le(at, 8),
    ),
    concat("PK\x06\x07", le(0, 4), le(end, 8), le(1, 4)),
    concat("PK\x05\x06", le(0, 4), le(2, 2), le(2, 2), le(directory.length, 4), le(all, 4), le(0, 2)),
  );
  const dataAt = first.length;
  const source = sparse(end + tail.length, [
    [0, first],
    [dataAt + large - 2, Uint8Array.of(5, 6)],
    [secondAt + 1000, concat(second, [7, 8, 9])],
    [at, directory],
    [end, tail],
  ]);
  const zip = await ZipReader.open(source, wrong);
  assert.equal(zip.members.get("large")!.size, large);
  assert.deepEqual([...await zip.reader(zip.members.get("large")!)(large - 2, 2)], [5, 6]);
  assert.deepEqual([...await zip.reader(zip.members.get("b")!)(0, 3)], [7, 8, 9]);
});

const sound = writeZip([["a.npy", numbers.subarray(0, 40)], ["b.npy", numbers.subarray(0, 50)]]);
const deflated = writeZip([["a.npy", numbers]], { deflate: true });
const recordAt = (file: Uint8Array, index = 0) => {
  let at = -1;
  for (let i = 0; i <= index; i++) {
    at = file.findIndex((_, j) =>
      j > at && file[j] === 0x50 && file[j + 1] === 0x4b && file[j + 2] === 1 && file[j + 3] === 2
    );
  }
  return at;
};

/** A copy with other bytes at a place that is counted from the directory's first record, from the end, or from the start. */
function changed(file: Uint8Array<ArrayBuffer>, at: number, bytes: number[]): Uint8Array<ArrayBuffer> {
  const copy = file.slice();
  copy.set(bytes, at < 0 ? copy.length + at : at);
  return copy;
}

const first = recordAt(sound);
const second = recordAt(sound, 1);
const only = recordAt(deflated);

const LIES: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "nothing": [new Uint8Array(0), /no end record/],
  "less than an end record": [sound.slice(-21), /no end record/],
  "an archive cut off": [sound.slice(0, -1), /no end record/],
  "bytes behind the end": [concat(sound, [0]), /no end record/],
  "bytes before the start": [concat([0], sound), /directory would be at/],
  "a directory elsewhere": [changed(sound, -6, le(0, 4)), /directory would be at/],
  "a directory of 4 GB": [changed(sound, -10, le(all, 4)), /more than is allowed/],
  "more records than stated": [changed(sound, -14, [...le(1, 2), ...le(1, 2)]), /more than its 1 records/],
  "fewer records than stated": [changed(sound, -14, [...le(3, 2), ...le(3, 2)]), /cut off/],
  "several disks": [changed(sound, -18, [1, 0]), /several files/],
  "a record that is none": [changed(sound, second, [0]), /record 1 .* is none/],
  "encryption": [changed(sound, first + 8, [1]), /is encrypted/],
  "an unknown compression": [changed(sound, first + 10, [12]), /compression 12/],
  "a stored member of two sizes": [changed(sound, first + 24, le(41, 4)), /stored as 40 of 41 bytes/],
  "a member larger than its place": [changed(sound, first + 20, [...le(80, 4), ...le(80, 4)]), /"b\.npy" begins/],
  "a member behind the directory": [changed(sound, second + 42, le(400, 4)), /the directory begins/],
  "members that overlap": [changed(sound, second + 42, le(10, 4)), /"b\.npy" begins at 10/],
  "one member twice": [changed(sound, second + 42, le(0, 4)), /begins at 0/],
  "one name twice": [changed(sound, second + 46, [0x61]), /stands twice/],
  "a member that is not there": [changed(sound, 0, [0]), /no zip header is there/],
  "another name in the member's header": [changed(sound, 30, [0x63]), /calls it "c\.npy"/],
  "another compression in the member's header": [changed(sound, 8, [8]), /states the compression 8/],
  "an extra field that pushes the data away": [changed(sound, 28, [200]), /data would go on to/],
  "a bomb": [changed(deflated, only + 24, le(2 ** 31, 4)), /is a bomb/],
  "fewer bytes than stated": [changed(deflated, only + 24, le(100_001, 4)), /ends after 100000 of 100001/],
  "more bytes than stated": [changed(deflated, only + 24, le(99_999, 4)), /more than the 99999 bytes/],
  "a wrong checksum": [changed(deflated, only + 16, le(1, 4)), /checksum .* and 00000001 is stated/],
  "broken deflated data": [changed(deflated, 35, [0xff, 0xff, 0xff, 0xff]), /deflated data/],
};

for (const [lie, [file, says]] of Object.entries(LIES)) {
  Deno.test(`ZipReader refuses ${lie}`, async () => {
    await assert.rejects(readAll(file), (error) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, says);
      assert.ok(error.message.length < 500);
      return true;
    });
  });
}

Deno.test("ZipReader inflates no more than a member's stated size, whatever it holds", async () => {
  const zeros = writeZip([["zeros", new Uint8Array(50_000_000)]], { deflate: true });
  const lie = changed(zeros, recordAt(zeros) + 24, le(1000, 4));
  await assert.rejects(readAll(lie), /more than the 1000 bytes/);
  const zip = await open(zeros);
  const [member] = [...zip.members.values()] as [ZipMember];
  assert.deepEqual([...await zip.reader(member)(49_999_990, 10)], Array(10).fill(0));
});

Deno.test("crc32() goes on from the checksum of what came before", () => {
  assert.equal(crc32(numbers), crc32(numbers.subarray(7), crc32(numbers.subarray(0, 7))));
});
