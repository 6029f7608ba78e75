// Pictures and their metadata, there and back.
import assert from "node:assert/strict";
import { decode, encode } from "npm:fast-png@8.0.0";
import { zlibSync } from "npm:fflate@0.8.3";
import { UsageError } from "../../src/errors.ts";
import { decodePng, Image } from "../../src/io/image.ts";
import { readPngText } from "../../src/io/png.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

/** A picture whose rows and columns all differ. */
function picture(width: number, height: number, metadata: Record<string, string> = {}): Image {
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7 + Math.floor(i / 13) * 31) & 255);
  return new Image({ width, height, pixels, metadata });
}

Deno.test("Image.encode() writes a PNG that fast-png reads, at ragged sizes", async () => {
  for (const [width, height] of [[1, 1], [1, 5], [7, 3], [64, 33]]) {
    const image = picture(width, height);
    const png = decode(await image.encode(), { checkCrc: true });
    assert.deepEqual([png.width, png.height, png.channels, png.depth], [width, height, 3, 8]);
    assert.deepEqual(Uint8Array.from(png.data), image.pixels);
  }
});

Deno.test("Image.encode() carries text in any language, and decodePng() reads it", async () => {
  const metadata = {
    prompt: "Ein Kaktus, glücklich",
    "negative prompt": "赤いりんご 🍎, \u0416\n second line",
    seed: "0",
    empty: "",
    control: "tab\there \u0080",
    long: "ä".repeat(70_000) + "я",
  };
  const bytes = await picture(3, 2, metadata).encode();
  assert.deepEqual({ ...decodePng(bytes).metadata }, metadata);
  // What Latin-1 holds stands in the chunk that every reader knows.
  assert.equal(decode(bytes).text.prompt, metadata.prompt);
});

Deno.test("Image.encode() refuses keywords that PNG has not", async () => {
  for (const keyword of ["", " a", "a ", "a  b", "x".repeat(80), "ключ", "a\0b", "a\nb"]) {
    await assert.rejects(picture(1, 1, { [keyword]: "x" }).encode(), UsageError, keyword);
  }
});

Deno.test("Image() takes RGBA without its alpha, and refuses pixels that do not fill it", () => {
  const image = new Image({ width: 2, height: 1, pixels: Uint8Array.of(1, 2, 3, 255, 4, 5, 6, 0) });
  assert.deepEqual(image.pixels, Uint8Array.of(1, 2, 3, 4, 5, 6));
  for (const [width, height, length] of [[2, 2, 11], [0, 0, 0], [1, 1, 1], [-1, -1, 3], [1.5, 2, 9]]) {
    assert.throws(() => new Image({ width, height, pixels: new Uint8Array(length) }), UsageError);
  }
});

Deno.test("decodePng() brings every kind of PNG to RGB", () => {
  const [width, height] = [3, 2];
  const grey = Uint8Array.of(0, 50, 100, 150, 200, 250);
  const asRgb = (values: ArrayLike<number>) => Array.from(values).flatMap((value) => [value, value, value]);
  const pixelsOf = (options: Partial<Parameters<typeof encode>[0]>) => [
    ...decodePng(encode({ width, height, data: grey, channels: 1, depth: 8, ...options })).pixels,
  ];
  assert.deepEqual(pixelsOf({}), asRgb(grey));
  assert.deepEqual(pixelsOf({ channels: 2, data: Uint8Array.from([...grey].flatMap((v) => [v, 9])) }), asRgb(grey));
  assert.deepEqual(pixelsOf({ depth: 16, data: Uint16Array.from(grey, (value) => value * 256 + 255) }), asRgb(grey));
  const colour = Uint8Array.from({ length: 24 }, (_, i) => i * 10);
  assert.deepEqual(pixelsOf({ channels: 4, data: colour }), [...colour].filter((_, i) => i % 4 !== 3));
  const palette = [[1, 2, 3], [40, 50, 60], [7, 8, 9]];
  const indices = Uint8Array.of(0, 1, 2, 2, 1, 0);
  assert.deepEqual(pixelsOf({ palette, data: indices }), [...indices].flatMap((i) => palette[i]));
  // Two bits each, rows padded to whole bytes: 0 1 2 and 3 2 1.
  assert.deepEqual(
    pixelsOf({ depth: 2, data: Uint8Array.of(0b00011000, 0b11100100) }),
    asRgb([0, 85, 170, 255, 170, 85]),
  );
});

Deno.test("readPngText() reads compressed text and leaves broken text out", async () => {
  const text = (value: string) => [...new TextEncoder().encode(value)];
  const zipped = (value: string) => [...zlibSync(Uint8Array.from(text(value)))];
  const chunks = [
    ["zTXt", [...text("z"), 0, 0, ...zipped("plain")]],
    ["iTXt", [...text("i"), 0, 1, 0, ...text("ja"), 0, ...text("k"), 0, ...zipped("りんご")]],
    ["zTXt", [...text("broken"), 0, 0, 1, 2, 3]],
    ["iTXt", [...text("short"), 0, 0]],
    ["tEXt", text("no end")],
  ] as const;
  const base = await picture(2, 2).encode();
  const inserted = chunks.flatMap(([type, body]) => {
    // The checksum is left at zero: readPngText() looks at the text alone.
    const head = new Uint8Array(8);
    new DataView(head.buffer).setUint32(0, body.length);
    head.set(text(type), 4);
    return [...head, ...body, 0, 0, 0, 0];
  });
  const bytes = Uint8Array.from([...base.subarray(0, 33), ...inserted, ...base.subarray(33)]);
  assert.deepEqual({ ...readPngText(bytes) }, { z: "plain", i: "りんご" });
});

Deno.test("decodePng() refuses what is damaged, cut, or too large, with a UsageError", async () => {
  const bytes = await picture(20, 20).encode();
  const damaged = bytes.slice();
  damaged[60] ^= 1;
  const huge = bytes.slice();
  new DataView(huge.buffer).setUint32(16, 0x7fffffff);
  const lies = [new Uint8Array(0), bytes.slice(0, 20), bytes.slice(0, -20), bytes.slice(1), damaged, huge];
  for (const lie of lies) assert.throws(() => decodePng(lie), UsageError);
});

Deno.test("Image.save() writes the file whole and leaves nothing else", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const image = picture(5, 4, { prompt: "x" });
  await image.save(`${folder}/a.png`);
  await image.save(new URL(`file://${folder}/b.png`));
  assert.deepEqual(await Deno.readFile(`${folder}/a.png`), await image.encode());
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["a.png", "b.png"]);
});

Deno.test("Image.save() overwrites only when told so", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const path = `${folder}/a.png`;
  await Deno.writeTextFile(path, "mine");
  await assert.rejects(picture(1, 1).save(path), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /a\.png as nothing is overwritten/);
    return true;
  });
  assert.equal(await Deno.readTextFile(path), "mine");
  await picture(1, 1).save(path, { overwrite: true });
  assert.equal(decodePng(await Deno.readFile(path)).width, 1);
  await assert.rejects(picture(1, 1).save(`${folder}/none/a.png`), /folder does not exist/);
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["a.png"]);
});

Deno.test("Image.save() lets one of two that save at the same time win, and tells the other", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const saves = Array.from({ length: 4 }, () => picture(9, 9).save(`${folder}/a.png`));
  const results = await Promise.allSettled(saves);
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal([...Deno.readDirSync(folder)].length, 1);
});
