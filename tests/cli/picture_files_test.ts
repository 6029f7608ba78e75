import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { type NamingOptions, settlePictureFiles, slugOf } from "../../src/cli/picture_files.ts";
import { UsageError } from "../../src/errors.ts";
import { Image } from "../../src/io/image.ts";
import { temporaryFolder } from "./_cli.ts";

const image = new Image({ width: 1, height: 1, pixels: Uint8Array.of(1, 2, 3) });

async function names(out: string, options: Partial<NamingOptions> = {}): Promise<string[]> {
  const { paths } = await settlePictureFiles({
    out,
    prompt: "A panda!",
    seed: 7,
    count: 1,
    overwrite: false,
    ...options,
  });
  return paths.map((path) => basename(path));
}

function refuses(out: string, message: RegExp, options: Partial<NamingOptions> = {}): Promise<void> {
  return assert.rejects(names(out, options), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, message);
    return true;
  });
}

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

Deno.test("settlePictureFiles() names pictures in a folder by prompt and seed", async () => {
  using folder = temporaryFolder();
  assert.deepEqual(await names(folder.path), ["a-panda-7.png"]);
  assert.deepEqual(await names(folder.path + "/", { count: 3 }), [
    "a-panda-7-1.png",
    "a-panda-7-2.png",
    "a-panda-7-3.png",
  ]);
  assert.deepEqual(await names(join(folder.path, "new/deep/")), ["a-panda-7.png"]);
  assert.deepEqual(Array.from(Deno.readDirSync(folder.path)), []);
});

Deno.test("settlePictureFiles() takes the next free number in a folder", async () => {
  using folder = temporaryFolder();
  for (const taken of ["a-panda-7.png", "a-panda-7-2.png"]) Deno.writeTextFileSync(join(folder.path, taken), "");
  assert.deepEqual(await names(folder.path), ["a-panda-7-3.png"]);
  assert.deepEqual(await names(folder.path, { count: 2 }), ["a-panda-7-3.png", "a-panda-7-4.png"]);
  assert.deepEqual(await names(folder.path, { overwrite: true }), ["a-panda-7.png"]);
});

Deno.test("settlePictureFiles() numbers the name of several pictures", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "pandas.v1.PNG");
  assert.deepEqual(await names(out), ["pandas.v1.PNG"]);
  assert.deepEqual(await names(out, { count: 2 }), ["pandas.v1-1.PNG", "pandas.v1-2.PNG"]);
});

Deno.test("settlePictureFiles() refuses a name that is taken unless it may overwrite", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "panda.png");
  Deno.writeTextFileSync(out, "old");
  Deno.writeTextFileSync(join(folder.path, "panda-2.png"), "old");
  await refuses(out, /panda\.png as nothing is overwritten unasked.*--overwrite/);
  await refuses(out, /panda-2\.png/, { count: 2 });
  const { paths, save } = await settlePictureFiles({ out, prompt: "", seed: 1, count: 1, overwrite: true });
  assert.equal(Deno.readTextFileSync(out), "old");
  assert.equal(await save(image, 0), paths[0]);
  assert.equal(Deno.readFileSync(out)[1], "P".charCodeAt(0));
});

Deno.test("settlePictureFiles() refuses places where nothing can be written", async () => {
  using folder = temporaryFolder();
  Deno.writeTextFileSync(join(folder.path, "file"), "");
  Deno.mkdirSync(join(folder.path, "folder.png"));
  await refuses(join(folder.path, "panda.jpg"), /PNG/);
  await refuses(join(folder.path, "panda"), /PNG/);
  await refuses(join(folder.path, "none/panda.png"), /its folder must exist/);
  await refuses(join(folder.path, "file/"), /must be a folder/);
  await refuses(join(folder.path, "file/deeper/"), /must be a folder/);
  await refuses(join(folder.path, "folder.png/../folder"), /PNG/);
});

Deno.test("settlePictureFiles() saves under the next free name when its own was taken meanwhile", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "deep/panda.png");
  Deno.mkdirSync(join(folder.path, "deep"));
  const { save } = await settlePictureFiles({ out, prompt: "", seed: 1, count: 1, overwrite: false });
  Deno.writeTextFileSync(out, "another's");
  assert.equal(await save(image, 0), join(folder.path, "deep/panda-2.png"));
  assert.equal(Deno.readTextFileSync(out), "another's");
  assert.deepEqual(Array.from(Deno.readDirSync(join(folder.path, "deep")), ({ name }) => name).sort(), [
    "panda-2.png",
    "panda.png",
  ]);
});
