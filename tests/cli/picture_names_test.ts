import assert from "node:assert/strict";
import { type NameFacts, pictureName, slugOf } from "../../src/cli/picture_names.ts";
import { UsageError } from "../../src/errors.ts";

const FACTS: NameFacts = { prompt: "A red apple, 3/4 view", seed: 7, steps: 20, guidance: 4.5 };

Deno.test("slugOf() keeps letters and digits of any script", () => {
  assert.equal(slugOf("A red apple, 3/4 view!"), "a-red-apple-3-4-view");
  assert.equal(slugOf("  Кот -- на снегу "), "кот-на-снегу");
  assert.equal(slugOf("../../etc/passwd"), "etc-passwd");
  assert.equal(slugOf("🍎🍏"), "picture");
  assert.equal(slugOf(""), "picture");
});

Deno.test("slugOf() stays within 80 characters and the bytes of a file name", () => {
  assert.equal(slugOf("ab ".repeat(100)).length, 80);
  const wide = slugOf("貓".repeat(100));
  assert.match(wide, /^貓+$/);
  assert.ok(new TextEncoder().encode(wide).length <= 180);
  assert.ok(slugOf("𠀀".repeat(100)).isWellFormed());
});

Deno.test("pictureName() fills a template, cuts, and leaves nothing that no file name can have", () => {
  assert.equal(pictureName("{slug}-{seed}", FACTS), "a-red-apple-3-4-view-7");
  assert.equal(pictureName("{prompt[:13]}", FACTS), "A red apple, ".trim());
  assert.equal(pictureName("{prompt[:100]}", FACTS), "A red apple, 3_4 view");
  assert.equal(pictureName("{line}_{steps}x{guidance}", { ...FACTS, line: "007" }), "007_20x4.5");
  assert.equal(pictureName("../{seed}", FACTS), "__7");
  assert.equal(pictureName("..", FACTS), "_");
  const long = pictureName("{prompt}", { ...FACTS, prompt: "貓".repeat(300) });
  assert.ok(new TextEncoder().encode(long).length <= 220);
});

Deno.test("pictureName() refuses what it does not know, and empty names", () => {
  for (
    const [template, part] of [["{sede}", "not of {sede}"], ["{line}", "not of {line}"], ["{prompt[:-1]}", "[:-1]"]]
  ) {
    assert.throws(() => pictureName(template, FACTS), (error) => {
      assert.ok(error instanceof UsageError);
      assert.ok(error.message.includes(part), error.message);
      return true;
    });
  }
  assert.throws(() => pictureName("{prompt}", { ...FACTS, prompt: "" }), UsageError);
});
