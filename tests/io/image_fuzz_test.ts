// PNGs with random damage: each is refused in one sentence, or decodes to as many pixels as it says.
import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { decodePng, Image } from "../../src/io/image.ts";
import { COUNT, damaged, fuzz } from "../_damage.ts";
import { numbers } from "../_reference.ts";

Deno.test(`decodePng() refuses or decodes a picture whatever happened to it, ${COUNT} times`, async () => {
  const pixels = Uint8Array.from(numbers(31 * 17 * 3), (value) => 128 + value * 127);
  const sound = await new Image({ width: 31, height: 17, pixels, metadata: { prompt: "ein Apfel, яблоко" } }).encode();
  // Checksums refuse nearly all damage, so that what is read is not asked for.
  await fuzz("a PNG", (draw) => damaged(sound, draw), (file) => {
    const image = decodePng(file);
    assert.equal(image.pixels.length, image.width * image.height * 3);
  }, { kind: UsageError, naming: false, mustVary: false });
});
