import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { writeFileWhole, writeFolderWhole } from "../../src/io/output_file.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("writeFileWhole() appends, writes over what it wrote, and puts the file in place at the end", async () => {
  using folder = temporaryFolder();
  const path = joinPath(folder.path, "file");
  const result = await writeFileWhole(path, {}, async (file) => {
    await file.append(bytes("hello world"));
    await file.overwrite(0, bytes("HELLO"));
    await file.append(bytes("!"));
    assert.deepEqual(namesIn(folder.path).filter((name) => name === "file"), []);
    return file.size;
  });
  assert.equal(result, 12);
  assert.equal(await Deno.readTextFile(path), "HELLO world!");
  assert.deepEqual(namesIn(folder.path), ["file"]);
});

Deno.test("writeFileWhole() leaves what was there when it may not or cannot replace it", async () => {
  using folder = temporaryFolder();
  const path = joinPath(folder.path, "file");
  await Deno.writeTextFile(path, "old");
  const write = () => writeFileWhole(path, {}, (file) => file.append(bytes("new")));
  await assert.rejects(write(), (error) => error instanceof UsageError && /--overwrite/.test(error.message));
  const failing = writeFileWhole(path, { overwrite: true }, async (file) => {
    await file.append(bytes("new"));
    throw new Error("no more");
  });
  await assert.rejects(failing, /no more/);
  assert.equal(await Deno.readTextFile(path), "old");
  assert.deepEqual(namesIn(folder.path), ["file"]);
  await writeFileWhole(path, { overwrite: true }, (file) => file.append(bytes("new")));
  assert.equal(await Deno.readTextFile(path), "new");
  await assert.rejects(writeFileWhole(folder.path, { overwrite: true }, () => Promise.resolve()), /it is a folder/);
  await assert.rejects(
    writeFileWhole(joinPath(folder.path, "none/file"), {}, () => Promise.resolve()),
    /does not exist/,
  );
});

Deno.test("writeFolderWhole() fills a folder apart, and replaces one only if it is a model's", async () => {
  using folder = temporaryFolder();
  const path = joinPath(folder.path, "model");
  const fill = (text: string) => (part: string) => Deno.writeTextFile(joinPath(part, "config.json"), text);
  await writeFolderWhole(`${path}/`, {}, fill("1"));
  await assert.rejects(writeFolderWhole(path, {}, fill("2")), UsageError);
  await assert.rejects(
    writeFolderWhole(path, { overwrite: true }, async (part) => {
      await fill("2")(part);
      throw new Error("no more");
    }),
    /no more/,
  );
  assert.equal(await Deno.readTextFile(joinPath(path, "config.json")), "1");
  await writeFolderWhole(path, { overwrite: true }, fill("2"));
  assert.equal(await Deno.readTextFile(joinPath(path, "config.json")), "2");
  await Deno.writeTextFile(joinPath(path, "thesis.tex"), "");
  await assert.rejects(writeFolderWhole(path, { overwrite: true }, fill("3")), /it holds thesis\.tex/);
  assert.deepEqual(namesIn(folder.path), ["model"]);
  assert.deepEqual(namesIn(path), ["config.json", "thesis.tex"]);
});

Deno.test("a writer that is killed leaves the old file", async () => {
  using folder = temporaryFolder();
  const path = joinPath(folder.path, "file");
  await Deno.writeTextFile(path, "old");
  const code = `
    import { writeFileWhole } from "${new URL("../../src/io/output_file.ts", import.meta.url)}";
    await writeFileWhole(${JSON.stringify(path)}, { overwrite: true }, async (file) => {
      await file.append(new Uint8Array(1000));
      console.log("half");
      await new Promise((resolve) => setTimeout(resolve, 60000));
    });`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-config", "-A", `data:text/typescript,${encodeURIComponent(code)}`],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  for await (const _half of child.stdout) {
    if (child.kill("SIGKILL") === undefined) break;
  }
  await child.status;
  assert.equal(await Deno.readTextFile(path), "old");
});
