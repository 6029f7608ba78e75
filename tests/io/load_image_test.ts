// Picture files against Pillow: `tests/golden/pictures/X.rgb` is what it makes of X after `ImageOps.exif_transpose` and
// `convert("RGB")`, and `lanczos_*` what it makes of source.png by `resize` with LANCZOS. Pillow 12.3.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { Image } from "../../src/io/image.ts";
import { loadImage } from "../../src/io/load_image.ts";
import { resizeImage } from "../../src/io/resize_image.ts";
import { COUNT, damaged, fuzz } from "../_damage.ts";
import { golden } from "../_weights.ts";

const place = (name: string) => golden(`pictures/${name}`);

// Decoders of lossy files may round differently: libjpeg's transform back to pixels is a different one.
const PICTURES: [name: string, width: number, height: number, tolerance: number][] = [
  ["turned.jpg", 9, 11, 3],
  ["progressive.jpg", 11, 9, 3],
  ["inks.jpg", 11, 9, 3],
  ["grey.jpg", 11, 9, 3],
  ["lossy.webp", 9, 11, 1],
  ["alpha.webp", 11, 9, 0],
  ["palette.png", 9, 11, 0],
];

Deno.test("loadImage() reads every kind of file as Pillow does, upright and without alpha", async () => {
  for (const [name, width, height, tolerance] of PICTURES) {
    const { pixels, ...size } = await loadImage(place(name));
    const expected = await Deno.readFile(place(`${name}.rgb`));
    assert.deepEqual([size.width, size.height, pixels.length], [width, height, expected.length], name);
    const errors = Array.from(pixels, (value, i) => Math.abs(value - expected[i]));
    assert.ok(Math.max(...errors) <= tolerance, `${name}: ${Math.max(...errors)}`);
    assert.ok(errors.reduce((sum, error) => sum + error, 0) / errors.length < 0.4, name);
  }
});

Deno.test("loadImage() reads a path, a URL and bytes, and keeps what a PNG says of itself", async () => {
  const image = new Image({
    width: 2,
    height: 1,
    pixels: Uint8Array.of(1, 2, 3, 4, 5, 6),
    metadata: { prompt: "ein roter Apfel" },
  });
  const path = await Deno.makeTempFile({ suffix: ".png" });
  try {
    await image.save(path, { overwrite: true });
    for (const from of [path, new URL(`file://${path}`), await Deno.readFile(path)]) {
      const again = await loadImage(from);
      assert.deepEqual([again.pixels, again.metadata.prompt], [image.pixels, "ein roter Apfel"]);
    }
  } finally {
    await Deno.remove(path);
  }
});

/** A copy with some bytes changed. */
function changed(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes);
  copy.set(values, at);
  return copy;
}

Deno.test("loadImage() refuses what is not there, no picture, cut short, or claims to be huge", async () => {
  const jpeg = await Deno.readFile(place("turned.jpg"));
  const webp = await Deno.readFile(place("alpha.webp"));
  const frame = jpeg.findIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xc0);
  const size = webp.findIndex((_, i) => String.fromCharCode(...webp.subarray(i, i + 4)) === "VP8L") + 9;
  assert.ok(frame > 0 && size > 12);
  const wrong: [string | Uint8Array, RegExp][] = [
    [place("nothing.jpg"), /nothing is there/],
    [new Uint8Array(0), /PNG, JPEG or WebP: begins $/],
    [new TextEncoder().encode("GIF89a..."), /PNG, JPEG or WebP: begins 47 49 46/],
    [jpeg.subarray(0, 300), /Cannot decode 300 bytes as JPEG/],
    [jpeg.subarray(0, jpeg.length - 40), /Cannot decode \d+ bytes as JPEG/],
    [webp.subarray(0, 100), /Cannot decode 100 bytes as WebP/],
    [changed(jpeg, frame + 5, 0xff, 0xff, 0xff, 0xff), /JPEG of 65535 by 65535 pixels/],
    [changed(webp, size, 0xff, 0xff, 0xff, 0x1f), /WebP of 16384 by 16384 pixels/],
  ];
  for (const [from, message] of wrong) {
    await assert.rejects(loadImage(from), (error) => {
      assert.ok(error instanceof UsageError, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  }
});

for (const name of ["turned.jpg", "progressive.jpg", "lossy.webp", "alpha.webp"]) {
  Deno.test(`loadImage() refuses or reads ${name} whatever happened to it, ${COUNT} times`, async () => {
    const sound = await Deno.readFile(place(name));
    await fuzz(name, (draw) => damaged(sound, draw), async (file) => {
      const image = await loadImage(file);
      assert.equal(image.pixels.length, image.width * image.height * 3);
    }, { kind: UsageError, naming: false, mustVary: false });
  });
}

Deno.test("resizeImage() makes the pixels that Pillow makes, larger and smaller", async () => {
  const source = await loadImage(place("source.png"));
  for (const [width, height] of [[23, 5], [4, 17]]) {
    const expected = await loadImage(place(`lanczos_${width}x${height}.png`));
    assert.deepEqual(resizeImage(source, width, height).pixels, expected.pixels);
  }
  assert.deepEqual(resizeImage(source, source.width, source.height).pixels, source.pixels);
});
