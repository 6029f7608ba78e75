// The cache on disk, shared with other tools and other processes, and what stands in it when the network is gone.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { DownloadError, UsageError } from "../../src/errors.ts";
import { downloadModel, resolveModel, type ResolveOptions } from "../../src/io/hub.ts";
import { diskError } from "../../src/io/hub_disk.ts";
import { hubEndpoint } from "../../src/io/hub_settings.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { etagOf, FakeHub, fakePipeline, NEEDED } from "./_hub_server.ts";

const ID = "org/name";
const COMMIT = "c".repeat(40);
const WEIGHTS = "transformer/diffusion_pytorch_model.safetensors";
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const startHub = (files = fakePipeline()) => new FakeHub({ [ID]: { commit: COMMIT, files } });
const settingsOf = (hub: FakeHub, cacheDir: string): ResolveOptions => {
  return { endpoint: hub.endpoint, cacheDir, retry: { tries: 3, pauseMs: 1 }, token: "", offline: false };
};

/** Runs code in a process of its own; its last line of output is JSON. */
async function inProcess(
  code: string,
  { flags = ["-A"], env }: { flags?: string[]; env?: Record<string, string> } = {},
) {
  using folder = temporaryFolder();
  const script = `${folder.path}/main.ts`;
  Deno.writeTextFileSync(script, code.replaceAll("$SRC", `${ROOT}src`));
  const common = ["run", "--quiet", "--no-prompt", "--no-check", "--config", `${ROOT}deno.json`];
  const { code: status, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...common, ...flags, script],
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      DENO_DIR: `${folder.path}/deno`,
      ...env,
    },
    clearEnv: true,
  }).output();
  assert.equal(status, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

const LOAD = (options: ResolveOptions) => `
import { downloadModel } from "$SRC/io/hub.ts";
const model = await downloadModel("${ID}", ${JSON.stringify(options)});
console.log(JSON.stringify(model));`;

Deno.test("downloadModel() lays the cache out as Hugging Face's tools do", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  await downloadModel(ID, settingsOf(hub, cache.path));
  const root = `${cache.path}/models--org--name`;
  assert.equal(Deno.readTextFileSync(`${root}/refs/main`), COMMIT);
  const { files } = hub.models[ID];
  for (const path of NEEDED) {
    const up = "../".repeat(path.split("/").length + 1);
    const link = Deno.readLinkSync(`${root}/snapshots/${COMMIT}/${path}`);
    assert.equal(link, `${up}blobs/${etagOf(path, files[path])}`);
    const { mode } = Deno.statSync(`${root}/blobs/${etagOf(path, files[path])}`);
    if (mode !== null) assert.equal(mode & 0o400, 0o400);
  }
  const names = Array.from(Deno.readDirSync(`${root}/blobs`), ({ name }) => name).sort();
  assert.deepEqual(names, [...new Set(NEEDED.map((path) => etagOf(path, files[path])))].sort());
  assert.ok(Deno.statSync(`${cache.path}/.locks/models--org--name/${etagOf(WEIGHTS, files[WEIGHTS])}.lock`).isFile);
  assert.match(Deno.readTextFileSync(`${cache.path}/CACHEDIR.TAG`), /^Signature: 8a477f597d28d172789f06886806bc55\n/);
});

Deno.test("downloadModel() uses a blob that another tool has put there", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const bytes = hub.models[ID].files[WEIGHTS];
  const blobs = `${cache.path}/models--org--name/blobs`;
  Deno.mkdirSync(blobs, { recursive: true });
  Deno.writeFileSync(`${blobs}/${etagOf(WEIGHTS, bytes)}`, bytes);
  const { files } = await downloadModel(ID, settingsOf(hub, cache.path));
  assert.equal(hub.count("store", WEIGHTS), 0);
  assert.deepEqual(files.filter(({ wasCached }) => wasCached).map(({ path }) => path), [WEIGHTS]);
});

Deno.test("downloadModel() mends a blob of the wrong size and a link whose blob was removed", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const { folder } = await downloadModel(ID, settingsOf(hub, cache.path));
  const bytes = hub.models[ID].files[WEIGHTS];
  const blob = `${cache.path}/models--org--name/blobs/${etagOf(WEIGHTS, bytes)}`;
  Deno.removeSync(blob);
  await downloadModel(ID, settingsOf(hub, cache.path));
  assert.deepEqual(Deno.readFileSync(`${folder}/${WEIGHTS}`), bytes);
  Deno.truncateSync(blob, 10);
  Deno.removeSync(`${folder}/${WEIGHTS}`);
  await downloadModel(ID, settingsOf(hub, cache.path));
  assert.deepEqual(Deno.readFileSync(`${folder}/${WEIGHTS}`), bytes);
});

Deno.test("downloadModel() copies where symbolic links are not allowed", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  // Deno makes symbolic links only with permission for the whole disk.
  const flags = [
    "--allow-net=127.0.0.1,localhost",
    `--allow-write=${cache.path}`,
    `--allow-read=${cache.path}`,
    "--allow-env",
  ];
  const { folder } = await inProcess(LOAD(settingsOf(hub, cache.path)), { flags });
  for (const path of NEEDED) {
    assert.ok(Deno.lstatSync(`${folder}/${path}`).isFile, path);
    assert.deepEqual(Deno.readFileSync(`${folder}/${path}`), hub.models[ID].files[path]);
  }
  const again = await downloadModel(ID, { ...settingsOf(hub, cache.path), revision: COMMIT });
  assert.equal(again.fetchedBytes, 0);
});

Deno.test("downloadModel() lets two processes and two callers share one download", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ kind }) => kind === "store" ? { slow: 30 } : undefined;
  const settings = settingsOf(hub, cache.path);
  const models = await Promise.all([
    inProcess(LOAD(settings)),
    inProcess(LOAD(settings)),
    downloadModel(ID, settings),
    downloadModel(ID, settings),
  ]);
  for (const { folder } of models) {
    for (const path of NEEDED) assert.deepEqual(Deno.readFileSync(`${folder}/${path}`), hub.models[ID].files[path]);
  }
  for (const path of NEEDED.filter((path) => hub.count("store", path) > 0)) {
    assert.equal(hub.count("store", path), 1, path);
  }
});

Deno.test("downloadModel() uses the cache alone where it is offline, and says what is wanting", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const settings = settingsOf(hub, cache.path);
  const offline = { ...settings, offline: true };
  await assert.rejects(downloadModel(ID, offline), (error) => {
    assert.ok(error instanceof DownloadError);
    assert.match(error.message, /^Cannot take org\/name \(main\) from .* as all of it must be there: nothing of this/);
    return true;
  });
  await downloadModel(ID, { ...settings, files: ["model_index.json", "vae"] });
  await assert.rejects(
    downloadModel(ID, offline),
    /must be there: scheduler, tokenizer, transformer, text_encoder is not/,
  );
  assert.equal((await downloadModel(ID, { ...offline, files: "vae" })).files.length, 2);
  const { folder } = await downloadModel(ID, settings);
  hub.calls.length = 0;
  assert.equal((await downloadModel(ID, offline)).folder, folder);
  assert.equal((await downloadModel(ID, { ...offline, revision: COMMIT })).folder, folder);
  await assert.rejects(downloadModel(ID, { ...offline, revision: "v2" }), DownloadError);
  assert.equal(hub.calls.length, 0);
  Deno.removeSync(`${folder}/text_encoder/model-00002-of-00002.safetensors`);
  await assert.rejects(downloadModel(ID, offline), /incomplete.*model-00002-of-00002/);
});

Deno.test("downloadModel() takes the cache where the hub cannot be reached, and says so", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const settings = settingsOf(hub, cache.path);
  const { folder } = await downloadModel(ID, settings);
  hub.calls.length = 0;
  hub.fault = () => ({ status: 503 });
  const model = await downloadModel(ID, settings);
  assert.equal(model.folder, folder);
  assert.match(model.warning!, /answers 503/);
  assert.equal(hub.calls.length, 1); // not worth a long wait
  // A refusal is no trouble of the network.
  hub.models[ID].access = "private";
  hub.fault = () => undefined;
  await assert.rejects(downloadModel(ID, settings), /answers 401/);
});

Deno.test("downloadModel() is content with a complete cache that cannot be written", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const { folder } = await downloadModel(ID, settingsOf(hub, cache.path));
  const refs = `${cache.path}/models--org--name/refs`;
  Deno.removeSync(refs, { recursive: true });
  Deno.writeTextFileSync(refs, "no folder");
  assert.equal((await downloadModel(ID, settingsOf(hub, cache.path))).folder, folder);
});

Deno.test("downloadModel() leaves the old commit in use when the new one cannot be fetched", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const settings = settingsOf(hub, cache.path);
  const { folder } = await downloadModel(ID, settings);
  hub.models[ID] = { commit: "d".repeat(40), files: fakePipeline(50) };
  hub.fault = ({ kind }) => kind === "store" ? { status: 500 } : undefined;
  await assert.rejects(downloadModel(ID, settings), /answers 500/);
  assert.equal((await downloadModel(ID, { ...settings, offline: true })).folder, folder);
});

Deno.test("resolveModel() leaves folders and URLs as they are", async () => {
  using folder = temporaryFolder();
  const options = { offline: true, cacheDir: folder.path };
  for (const place of [folder.path, "https://a.b/org/name", `file://${folder.path}`]) {
    assert.equal(await resolveModel(place, options), place);
  }
  await assert.rejects(resolveModel(`${folder.path}/gone`, options), (error) => {
    return error instanceof UsageError && /must be a folder, a URL, or org\/name on the hub/.test(error.message);
  });
  await assert.rejects(resolveModel(ID, options), /Cannot take org\/name/);
});

Deno.test("resolveModel() downloads org/name", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const folder = await resolveModel(ID, { ...settingsOf(hub, cache.path), files: "vae" });
  assert.equal(folder, `${cache.path}/models--org--name/snapshots/${COMMIT}`);
  await assert.rejects(downloadModel("name", settingsOf(hub, cache.path)), UsageError);
});

Deno.test("resolveModel() gives a browser the model's URL", async () => {
  const url = await inProcess(`
    delete globalThis.Deno;
    const { resolveModel } = await import("$SRC/io/hub.ts");
    console.log(JSON.stringify(await resolveModel("org/name", { revision: "refs/pr/1" })));`);
  assert.equal(url, "https://huggingface.co/org/name/resolve/refs%2Fpr%2F1");
});

Deno.test("hubSettings() reads the environment as Hugging Face's tools do", async () => {
  using folder = temporaryFolder();
  Deno.mkdirSync(`${folder.path}/.cache/huggingface`, { recursive: true });
  Deno.writeTextFileSync(`${folder.path}/.cache/huggingface/token`, "hf_file\n");
  Deno.writeTextFileSync(`${folder.path}/other-token`, "hf_other");
  const base = { HOME: folder.path };
  const cases: [Record<string, string>, Record<string, unknown>][] = [
    [{}, {
      endpoint: "https://huggingface.co",
      cacheDir: `${folder.path}/.cache/huggingface/hub`,
      token: "hf_file",
      offline: false,
    }],
    [{ XDG_CACHE_HOME: "/x" }, { cacheDir: "/x/huggingface/hub", token: undefined }],
    [{ HF_HOME: "~/hf" }, { cacheDir: `${folder.path}/hf/hub` }],
    [{ HF_HOME: "$HOME/hf", HUGGINGFACE_HUB_CACHE: "/old" }, { cacheDir: "/old" }],
    [{ HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }, { cacheDir: "/new" }],
    [{ HF_TOKEN: " hf_env\n", HUGGING_FACE_HUB_TOKEN: "hf_older" }, { token: "hf_env" }],
    [{ HUGGING_FACE_HUB_TOKEN: "hf_older" }, { token: "hf_older" }],
    [{ HF_TOKEN_PATH: "~/other-token" }, { token: "hf_other" }],
    [{ HF_TOKEN: "hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }, { token: undefined }],
    [{ HF_HUB_OFFLINE: "1" }, { offline: true }],
    [{ HF_HUB_OFFLINE: "0", HF_ENDPOINT: "http://mirror:8080/hub/" }, {
      offline: false,
      endpoint: "http://mirror:8080/hub",
    }],
  ];
  const all = await inProcess(
    `
    import { hubSettings } from "$SRC/io/hub_settings.ts";
    const found = [];
    for (const env of ${JSON.stringify(cases.map(([env]) => env))}) {
      for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
      found.push(hubSettings());
      for (const name of Object.keys(env)) Deno.env.delete(name);
    }
    console.log(JSON.stringify(found));`,
    { env: base },
  );
  for (const [i, [env, expected]] of cases.entries()) {
    for (const [name, value] of Object.entries(expected)) assert.equal(all[i][name], value, JSON.stringify(env));
  }
});

Deno.test("hubEndpoint() refuses what is no http(s) URL", () => {
  for (const text of ["huggingface.co", "ftp://a.b", "https://"]) {
    assert.throws(() => hubEndpoint(text), UsageError, text);
  }
});

Deno.test("diskError() says in one sentence what a disk answers", () => {
  for (
    const [code, state] of [["ENOSPC", /the disk is full/], ["EACCES", /may not be written/], ["EROFS", /may not be/]]
  ) {
    const told = diskError(Object.assign(new Error("os error"), { code }), "store x", "/cache");
    assert.ok(told instanceof DownloadError);
    assert.match(told.message, /^Cannot store x as \/cache must take it: /);
    assert.match(told.message, state as RegExp);
  }
  const other = new Error("other");
  assert.equal(diskError(other, "store x", "/cache"), other);
});
