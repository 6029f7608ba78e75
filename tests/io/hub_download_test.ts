// Downloads that go well: what is asked for, what comes, what is told.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { downloadModel, type DownloadProgress } from "../../src/io/hub.ts";
import { assertSame, COMMIT, FAST, ID, load, startHub } from "./_hub_cache.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { fakePipeline, NEEDED } from "./_hub_server.ts";

Deno.test("downloadModel() fetches what is needed, large files from where the hub sends on to", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const told: DownloadProgress[] = [];
  const model = await load(hub, cache.path, { onProgress: (progress) => told.push(progress) });
  assert.equal(model.commit, COMMIT);
  assert.equal(model.folder, `${cache.path}/models--org--name/snapshots/${COMMIT}`);
  assert.deepEqual(model.files.map(({ path }) => path).sort(), NEEDED);
  assert.ok(model.files.every(({ wasCached }) => !wasCached));
  const sizes = NEEDED.map((path) => hub.models[ID].files[path].length);
  assert.equal(model.fetchedBytes, sizes.reduce((sum, size) => sum + size));
  assertSame(model.folder, hub);
  assert.equal(hub.count("store"), 5);
  // Nothing that nobody needs was asked for.
  assert.deepEqual(new Set(hub.calls.filter(({ kind }) => kind !== "api").map(({ path }) => path)), new Set(NEEDED));
  const last = told.at(-1)!;
  assert.equal(last.loaded, last.total);
  assert.equal(last.secondsLeft, 0);
  assert.ok(told.every(({ loaded, total, model }) => loaded >= 0 && loaded <= total && model === ID));
});

Deno.test("downloadModel() asks one question when the model is in the cache, and none for a commit", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  await load(hub, cache.path);
  hub.calls.length = 0;
  const again = await load(hub, cache.path);
  assert.deepEqual(hub.calls.map(({ kind }) => kind), ["api"]);
  assert.ok(again.files.every(({ wasCached }) => wasCached));
  assert.equal(again.fetchedBytes, 0);
  await load(hub, cache.path, { revision: COMMIT });
  assert.equal(hub.calls.length, 1);
});

Deno.test("downloadModel() fetches only the components asked for, and later the others", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const one = await load(hub, cache.path, { files: "vae" });
  assert.deepEqual(one.files.map(({ path }) => path).sort(), [
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
  ]);
  const all = await load(hub, cache.path, { revision: COMMIT });
  assert.equal(all.files.length, NEEDED.length);
  assert.deepEqual(all.files.filter(({ wasCached }) => wasCached).length, 2);
  assertSame(all.folder, hub);
});

Deno.test("downloadModel() follows a branch to its new commit, and shares files between the two", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  await load(hub, cache.path);
  const next = "d".repeat(40);
  const files = { ...hub.models[ID].files, "vae/config.json": new TextEncoder().encode('{"new": 1}') };
  hub.models[ID] = { commit: next, files };
  hub.calls.length = 0;
  const model = await load(hub, cache.path);
  assert.equal(model.commit, next);
  assertSame(model.folder, hub);
  assert.equal(hub.count("store"), 0);
  assert.equal(hub.count("file"), 1);
});

Deno.test("downloadModel() takes a revision by name, and says when there is none", async () => {
  await using hub = startHub();
  hub.models[ID].revisions = ["main", "refs/pr/1"];
  using cache = temporaryFolder();
  const model = await load(hub, cache.path, { revision: "refs/pr/1", files: "vae" });
  assert.equal(Deno.readTextFileSync(`${cache.path}/models--org--name/refs/refs/pr/1`), model.commit);
  await assert.rejects(load(hub, cache.path, { revision: "v9" }), /revision "v9" must exist.*404/);
  await assert.rejects(load(hub, cache.path, { revision: "../x" }), UsageError);
});

Deno.test("downloadModel() sends the token to the hub and to nobody else", async () => {
  await using hub = startHub();
  hub.models[ID].access = "private";
  using cache = temporaryFolder();
  await load(hub, cache.path, { token: hub.token });
  for (const { kind, headers, path } of hub.calls) {
    assert.equal(headers.get("authorization"), kind === "store" ? null : `Bearer ${hub.token}`, `${kind} ${path}`);
  }
});

Deno.test("downloadModel() follows a model that moved, but not in circles", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.models["org/old"] = hub.models[ID];
  hub.fault = ({ model, kind, path }) => {
    if (model !== "org/old") return undefined;
    const there = kind === "api" ? `/api/models/${ID}/revision/${path}` : `/${ID}/resolve/${COMMIT}/${path}`;
    return { status: 307, headers: { location: there } };
  };
  const settings = { endpoint: hub.endpoint, cacheDir: cache.path, retry: FAST, token: "", offline: false };
  const model = await downloadModel("org/old", settings);
  assert.equal(model.folder, `${cache.path}/models--org--old/snapshots/${COMMIT}`);
  assertSame(model.folder, hub);
  hub.fault = () => ({ status: 302, headers: { location: "/" } });
  await assert.rejects(load(hub, cache.path), /it sends on again and again/);
});

Deno.test("downloadModel() fetches files of the same content once", async () => {
  const files = fakePipeline();
  files["text_encoder/model-00002-of-00002.safetensors"] = files["text_encoder/model-00001-of-00002.safetensors"];
  await using hub = startHub(files);
  using cache = temporaryFolder();
  const told: number[] = [];
  const { folder } = await load(hub, cache.path, { onProgress: ({ loaded, total }) => told.push(loaded / total) });
  assertSame(folder, hub);
  assert.equal(hub.count("store"), 4);
  assert.equal(told.at(-1), 1);
});
