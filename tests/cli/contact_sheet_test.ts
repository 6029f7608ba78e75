import assert from "node:assert/strict";
import { ContactSheet } from "../../src/cli/contact_sheet.ts";
import { Image } from "../../src/io/image.ts";

const plain = (width: number, height: number, ...colour: number[]) =>
  new Image({ width, height, pixels: Uint8Array.from({ length: width * height * 3 }, (_, i) => colour[i % 3]) });

const pixel = ({ width, pixels }: Image, x: number, y: number) => [
  ...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

Deno.test("ContactSheet lays pictures out in rows, each in the middle of its cell", () => {
  const sheet = new ContactSheet();
  sheet.add(plain(20, 20, 255, 0, 0));
  sheet.add(plain(10, 20, 0, 255, 0));
  sheet.add(plain(20, 20, 0, 0, 255));
  const picture = sheet.picture({ Title: "three" });
  assert.deepEqual([picture.width, picture.height, sheet.count], [2 * 28 + 8, 2 * 28 + 8, 3]);
  assert.deepEqual(pixel(picture, 8, 8), [255, 0, 0]);
  assert.deepEqual(pixel(picture, 36, 8), [24, 24, 24]); // left of the narrow one
  assert.deepEqual(pixel(picture, 41, 8), [0, 255, 0]);
  assert.deepEqual(pixel(picture, 8, 36), [0, 0, 255]);
  assert.deepEqual(pixel(picture, 36, 36), [24, 24, 24]);
  assert.equal(picture.metadata.Title, "three");
});

Deno.test("ContactSheet shrinks large pictures by the mean of their pixels", () => {
  const sheet = new ContactSheet();
  const large = plain(1024, 3, 10, 20, 30);
  for (let i = 0; i < large.pixels.length; i += 6) large.pixels.set([30, 40, 50], i);
  sheet.add(large);
  const picture = sheet.picture();
  assert.deepEqual([picture.width, picture.height], [512 + 16, 2 + 16]);
  assert.deepEqual(pixel(picture, 8, 8), [20, 30, 40]);
  assert.deepEqual(pixel(picture, 8 + 511, 9), [20, 30, 40]);
});
