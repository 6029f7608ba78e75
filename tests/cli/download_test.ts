// `pixart download` and the presets, against a hub on this machine.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { UsageError } from "../../src/errors.ts";
import { isModelId, isSafePath } from "../../src/io/hub_names.ts";
import { downloadPreset, findModel, findPreset, PRESETS } from "../../src/pipelines/presets.ts";
import { FakeHub, type FakeModel, fakePipeline, NEEDED, textBytes } from "../io/_hub_server.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { type CliResult, linesOf, ROOT } from "./_cli.ts";

const COMMIT = "c".repeat(40);
const OTHER = "d".repeat(40);

const modelOf = (files: FakeModel["files"], commit = COMMIT): FakeModel => ({ commit, files });
const only = (files: FakeModel["files"], folder: string) =>
  Object.fromEntries(Object.entries(files).filter(([path]) => path.startsWith(`${folder}/`)));

interface Run {
  hub: FakeHub;
  cacheDir: string;
  env?: Record<string, string>;
  /** Sent once stderr holds the text. */
  stopAt?: string;
}

/** Runs the command line with the permissions that the launcher gives. */
async function pixart(args: readonly string[], { hub, cacheDir, env, stopAt }: Run): Promise<CliResult> {
  const variables =
    "--allow-env=PIXART_*,HF_*,HUGGING*,XDG_*,HOME,USERPROFILE,TMPDIR,NO_COLOR,FORCE_COLOR,TERM,COLUMNS,CI";
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "run",
        "--quiet",
        "--no-prompt",
        "--no-check",
        "--config",
        `${ROOT}deno.json`,
        "--allow-read",
        "--allow-write",
      ],
      ...["--allow-net=127.0.0.1,localhost", variables, `${ROOT}src/cli/main.ts`, "download", ...args],
    ],
    env: {
      ...{ HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cacheDir, HF_TOKEN: "", HF_TOKEN_PATH: "/nonexistent" },
      ...{ HUGGING_FACE_HUB_TOKEN: "", HF_HUB_OFFLINE: "0", NO_COLOR: "1", ...env },
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdout = new Response(child.stdout).text();
  let stderr = "", stopped = false;
  for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
    stderr += part;
    if (stopped || stopAt === undefined || !stderr.includes(stopAt)) continue;
    stopped = true;
    child.kill("SIGINT");
  }
  return { code: (await child.status).code, stdout: await stdout, stderr };
}

Deno.test("download() prints where the model is", async () => {
  await using hub = new FakeHub({ "org/name": modelOf(fakePipeline()) });
  using cache = temporaryFolder();
  const run = { hub, cacheDir: cache.path };
  const { code, stdout, stderr } = await pixart(["org/name"], run);
  assert.equal(code, 0, stderr);
  const folder = `${cache.path}/models--org--name/snapshots/${COMMIT}`;
  assert.equal(stdout, `${folder}\n`);
  assert.match(stderr, /^pixart: 13 files, 351\.\d kB; 351\.\d kB of it came in [\d.]+ s, .*B\/s\n$/);
  for (const path of NEEDED) {
    assert.deepEqual(Deno.readFileSync(`${folder}/${path}`), hub.models["org/name"].files[path]);
  }
  const again = await pixart(["org/name"], run);
  assert.match(again.stderr, /351\.\d kB; 0 B of it came in [\d.]+ s\n$/);
});

Deno.test("download() reports as JSON what it took, with the options of the command line", async () => {
  await using hub = new FakeHub({ "org/name": { ...modelOf(fakePipeline()), revisions: ["v1"], access: "private" } });
  using cache = temporaryFolder();
  using other = temporaryFolder();
  const { code, stdout, stderr } = await pixart([
    ...["--component", "transformer", "org/name", "--component", "scheduler", "--variant", "fp16", "--revision", "v1"],
    ...["--cache-dir", other.path, "--json"],
  ], { hub, cacheDir: cache.path, env: { HF_TOKEN: hub.token } });
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout);
  assert.deepEqual(Object.keys(report).sort(), ["bytes", "model", "parts", "path", "seconds"]);
  const [part] = report.parts;
  assert.equal(report.path, `${other.path}/models--org--name/snapshots/${COMMIT}`);
  assert.deepEqual([part.id, part.revision, part.commit], ["org/name", "v1", COMMIT]);
  assert.deepEqual(part.files.map(({ path }: { path: string }) => path).sort(), [
    "scheduler/scheduler_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.fp16.safetensors",
  ]);
  assert.equal(report.bytes.total, report.bytes.fetched);
});

Deno.test("download() exits 2 for a name that is none, and 1 where the hub refuses", async () => {
  await using hub = new FakeHub({});
  using cache = temporaryFolder();
  const run = { hub, cacheDir: cache.path };
  const cases: [string[], number, RegExp][] = [
    [["sigma-1025"], 2, /org\/name on the hub, or one of sigma-256, sigma-512/],
    [["sigma-4k"], 2, /never was/],
    [["org/name", "--revision", "a b"], 2, /revision "a b"/],
    [["org/name"], 1, /set HF_TOKEN/],
    [[], 2, /missing required argument 'model'/],
  ];
  for (const [args, status, message] of cases) {
    const { code, stdout, stderr } = await pixart(args, run);
    assert.equal(code, status, stderr);
    assert.equal(stdout, "");
    assert.equal(linesOf(stderr).length, 1, stderr);
    assert.match(stderr, message);
  }
});

Deno.test("download() says when it had to take the cache", async () => {
  await using hub = new FakeHub({ "org/name": modelOf(fakePipeline()) });
  using cache = temporaryFolder();
  const run = { hub, cacheDir: cache.path };
  const { stdout } = await pixart(["org/name"], run);
  hub.fault = () => ({ status: 503 });
  const { code, stdout: again, stderr } = await pixart(["org/name"], run);
  assert.equal(code, 0);
  assert.equal(again, stdout);
  assert.match(stderr, /warning: .*answers 503.*what is in the cache must do/);
  const offline = await pixart(["org/name"], { ...run, env: { HF_HUB_OFFLINE: "1" } });
  assert.equal(offline.stdout, stdout);
});

Deno.test("download() tells how far it is, stops on Ctrl-C, and goes on later", async () => {
  await using hub = new FakeHub({ "org/name": modelOf(fakePipeline()) });
  using cache = temporaryFolder();
  const run = { hub, cacheDir: cache.path };
  const path = "transformer/diffusion_pytorch_model.safetensors";
  hub.fault = (call) => call.kind === "store" && call.path === path ? { slow: 500 } : undefined;
  const { code, stderr } = await pixart(["org/name"], { ...run, stopAt: "downloading" });
  assert.equal(code, 130, stderr);
  assert.match(stderr, /downloading org\/name: \d+%, [\d.]+ kB of 351\.\d kB, [\d.]+ kB\/s, \d+ s left\n/);
  assert.match(stderr, /Cannot finish download as SIGINT stopped it/);
  hub.fault = () => undefined;
  hub.calls.length = 0;
  const again = await pixart(["org/name"], run);
  assert.equal(again.code, 0, again.stderr);
  const [{ headers }] = hub.calls.filter((call) => call.kind === "store" && call.path === path);
  assert.match(headers.get("range")!, /^bytes=[1-9]\d*-$/);
});

Deno.test("PRESETS name every released model", () => {
  const names = PRESETS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (
    const size of [
      "sigma-256",
      "sigma-512",
      "sigma-1024",
      "sigma-2k",
      "alpha-256",
      "alpha-256-sam",
      "alpha-512",
      "alpha-1024",
    ]
  ) {
    assert.ok(names.includes(size) && names.includes(`${size}-pth`), size);
  }
  for (const { id, files, base } of PRESETS) {
    assert.ok(isModelId(id) && (!base || isModelId(base.id)), id);
    assert.ok((files ?? []).every(isSafePath));
  }
  assert.equal(findPreset("Sigma-1024")?.id, "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS");
  assert.equal(findPreset("org/name"), undefined);
  assert.throws(() => findPreset("sigma-4k"), UsageError);
});

const SIGMA_512 = findPreset("sigma-512")!;
const BASE = SIGMA_512.base!.id;
const settingsOf = (hub: FakeHub, cacheDir: string) => {
  return { endpoint: hub.endpoint, cacheDir, token: "", offline: false, retry: { tries: 2, pauseMs: 1 } };
};

Deno.test("downloadPreset() takes a whole pipeline from one place where it is there", async () => {
  await using hub = new FakeHub({ [SIGMA_512.id]: modelOf(fakePipeline()) });
  using cache = temporaryFolder();
  const { path, parts } = await downloadPreset(SIGMA_512, settingsOf(hub, cache.path));
  assert.equal(parts.length, 1);
  assert.equal(path, parts[0].folder);
  assert.equal(await findModel("sigma-512", settingsOf(hub, cache.path)), path);
});

Deno.test("downloadPreset() puts a transformer together with the rest of a pipeline", async () => {
  const transformer = only(fakePipeline(70), "transformer");
  await using hub = new FakeHub({ [SIGMA_512.id]: modelOf(transformer), [BASE]: modelOf(fakePipeline(), OTHER) });
  using cache = temporaryFolder();
  const settings = settingsOf(hub, cache.path);
  const { path, parts } = await downloadPreset(SIGMA_512, settings);
  assert.deepEqual(parts.map(({ id }) => id), [SIGMA_512.id, BASE]);
  for (const file of NEEDED.filter((file) => file.includes("/"))) {
    assert.deepEqual(Deno.readFileSync(`${path}/${file}`), transformer[file] ?? hub.models[BASE].files[file], file);
  }
  const index = JSON.parse(Deno.readTextFileSync(`${path}/model_index.json`));
  assert.equal(index._class_name, "PixArtSigmaPipeline");
  assert.deepEqual(index.transformer, ["diffusers", "PixArtTransformer2DModel"]);
  assert.deepEqual(index.vae, ["diffusers", "AutoencoderKL"]);
  // The other transformer is nothing that anybody needs.
  assert.ok(hub.calls.every(({ model, path }) => model !== BASE || !path.startsWith("transformer/")));
  // Again, without a network, and after the cache was moved.
  assert.equal(await findModel("sigma-512", { ...settings, offline: true }), path);
  const moved = `${cache.path}-moved`;
  Deno.renameSync(cache.path, moved);
  const file = `${path.replace(cache.path, moved)}/vae/config.json`;
  assert.deepEqual(Deno.readFileSync(file), hub.models[BASE].files["vae/config.json"]);
  Deno.renameSync(moved, cache.path);
});

Deno.test("downloadPreset() takes single components from where they are", async () => {
  const transformer = only(fakePipeline(70), "transformer");
  await using hub = new FakeHub({ [SIGMA_512.id]: modelOf(transformer), [BASE]: modelOf(fakePipeline(), OTHER) });
  using cache = temporaryFolder();
  const settings = settingsOf(hub, cache.path);
  const one = await downloadPreset(SIGMA_512, { ...settings, files: ["transformer"] });
  assert.equal(basename(one.path), COMMIT);
  const other = await downloadPreset(SIGMA_512, { ...settings, files: ["vae"] });
  assert.equal(basename(other.path), OTHER);
  const both = await downloadPreset(SIGMA_512, { ...settings, files: ["vae", "transformer"] });
  assert.deepEqual(Array.from(Deno.readDirSync(both.path), ({ name }) => name).sort(), [
    "model_index.json",
    "transformer",
    "vae",
  ]);
  const all = await downloadPreset(SIGMA_512, settings);
  assert.equal(Array.from(Deno.readDirSync(all.path)).length, 6);
  await assert.rejects(downloadPreset(SIGMA_512, { ...settings, files: ["unet"] }), /neither does/);
});

Deno.test("downloadPreset() gives the path of an original file", async () => {
  const preset = findPreset("sigma-1024-pth")!;
  const [file] = preset.files!;
  await using hub = new FakeHub({
    [preset.id]: modelOf({ [file]: textBytes("weights"), "other.pth": textBytes("x") }),
  });
  using cache = temporaryFolder();
  const { path } = await downloadPreset(preset, settingsOf(hub, cache.path));
  assert.equal(basename(path), file);
  assert.equal(Deno.readTextFileSync(path), "weights");
  assert.equal(hub.count("store"), 1);
});

Deno.test("findModel() takes a folder before a preset of the same name", async () => {
  using folder = temporaryFolder();
  assert.equal(await findModel(folder.path), folder.path);
  assert.equal(await findModel("https://a.b/c"), "https://a.b/c");
});
