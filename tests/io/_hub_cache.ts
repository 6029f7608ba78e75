// Downloads from a hub of one's own into a cache of one's own, and a look at what is in it, for tests.

import assert from "node:assert/strict";
import { type DownloadedModel, downloadModel, type ResolveOptions } from "../../src/io/hub.ts";
import { type Call, etagOf, FakeHub, fakePipeline, type Fault, NEEDED } from "./_hub_server.ts";

export const ID = "org/name";
export const COMMIT = "c".repeat(40);
export const WEIGHTS = "transformer/diffusion_pytorch_model.safetensors";
export const FAST = { tries: 3, pauseMs: 1, silenceMs: 5000 };

export const startHub = (files = fakePipeline()) => new FakeHub({ [ID]: { commit: COMMIT, files } });

export function load(hub: FakeHub, cacheDir: string, options: ResolveOptions = {}): Promise<DownloadedModel> {
  return downloadModel(ID, {
    endpoint: hub.endpoint,
    cacheDir,
    retry: FAST,
    token: "",
    offline: false,
    ...options,
  });
}

/** Fails where a file is fetched from the store, as often as said. */
export function failStore(
  hub: FakeHub,
  fault: Fault,
  { path = WEIGHTS, times = 1 }: { path?: string; times?: number } = {},
) {
  hub.fault = (call: Call) => call.kind === "store" && call.path === path && call.before < times ? fault : undefined;
}

export function assertSame(folder: string, hub: FakeHub, paths: readonly string[] = NEEDED): void {
  for (const path of paths) {
    assert.deepEqual(Deno.readFileSync(`${folder}/${path}`), hub.models[ID].files[path], path);
  }
}

/** Asserts that nothing of a file can be seen in the cache. */
export function assertHidden(cacheDir: string, hub: FakeHub, path = WEIGHTS): void {
  const root = `${cacheDir}/models--org--name`;
  assert.throws(() => Deno.statSync(`${root}/blobs/${etagOf(path, hub.models[ID].files[path])}`));
  assert.throws(() => Deno.lstatSync(`${root}/snapshots/${COMMIT}/${path}`));
}

export const partOf = (cacheDir: string, hub: FakeHub, path = WEIGHTS) =>
  `${cacheDir}/models--org--name/blobs/${etagOf(path, hub.models[ID].files[path])}.incomplete`;
