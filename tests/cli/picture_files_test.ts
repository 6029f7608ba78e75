import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { type NamingOptions, settlePictureFiles } from "../../src/cli/picture_files.ts";
import { UsageError } from "../../src/errors.ts";
import { Image } from "../../src/io/image.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const image = new Image({ width: 1, height: 1, pixels: Uint8Array.of(1, 2, 3) });

async function names(out: string, options: Partial<NamingOptions> = {}): Promise<string[]> {
  const { paths } = await settlePictureFiles({
    out,
    name: "a-panda-7",
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

Deno.test("settlePictureFiles() names pictures in a folder by their name", async () => {
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
  const { paths, save } = await settlePictureFiles({ out, name: "", count: 1, overwrite: true });
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
  const { save } = await settlePictureFiles({ out, name: "", count: 1, overwrite: false });
  Deno.writeTextFileSync(out, "another's");
  assert.equal(await save(image, 0), join(folder.path, "deep/panda-2.png"));
  assert.equal(Deno.readTextFileSync(out), "another's");
  assert.deepEqual(Array.from(Deno.readDirSync(join(folder.path, "deep")), ({ name }) => name).sort(), [
    "panda-2.png",
    "panda.png",
  ]);
});

Deno.test("settlePictureFiles() leaves what is there when it resumes", async () => {
  using folder = temporaryFolder();
  const options = { out: folder.path, name: "panda", count: 2, overwrite: false, resume: true };
  const missing = await settlePictureFiles(options);
  assert.equal(missing.isDone, false);
  Deno.writeTextFileSync(join(folder.path, "panda-1.png"), "old");
  const half = await settlePictureFiles(options);
  assert.equal(half.isDone, false);
  for (const index of [0, 1]) assert.equal(basename(await half.save(image, index)), `panda-${index + 1}.png`);
  assert.equal(Deno.readTextFileSync(join(folder.path, "panda-1.png")), "old");
  assert.equal((await settlePictureFiles(options)).isDone, true);
  assert.equal((await settlePictureFiles({ ...options, overwrite: true })).isDone, false);
});
