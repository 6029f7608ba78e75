import assert from "node:assert/strict";
import { DownloadError, UsageError } from "../../src/errors.ts";
import { chooseFiles, shardsOf } from "../../src/io/hub_files.ts";
import { checkRevision, isModelId, isSafePath } from "../../src/io/hub_names.ts";
import { fakePipeline, NEEDED } from "./_hub_server.ts";

const LISTING = Object.keys(fakePipeline());
const isShard = (path: string) => /-of-\d+/.test(path);

const chosen = (listing: readonly string[], choice: Parameters<typeof chooseFiles>[2] = {}) =>
  chooseFiles("org/name", listing, choice).paths.sort();

Deno.test("chooseFiles() takes what a pipeline needs and nothing else", () => {
  const { paths, indexes, missing } = chooseFiles("org/name", LISTING, {});
  assert.deepEqual(paths.sort(), NEEDED.filter((path) => !isShard(path)));
  assert.deepEqual(indexes, ["text_encoder/model.safetensors.index.json"]);
  assert.deepEqual(missing, []);
});

Deno.test("chooseFiles() takes single components, folders and files", () => {
  assert.deepEqual(chosen(LISTING, { files: ["vae/"] }), [
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
  ]);
  assert.deepEqual(chosen(LISTING, { files: ["scheduler", "README.md"] }), [
    "README.md",
    "scheduler/scheduler_config.json",
  ]);
  const original = ["A.pth", "B.pth", "t5-v1_1-xxl/config.json", "t5-v1_1-xxl/pytorch_model.bin.index.json"];
  assert.deepEqual(chosen(original, { files: ["B.pth"] }), ["B.pth"]);
  assert.deepEqual(chosen(original, { files: ["t5-v1_1-xxl"] }), original.slice(2));
});

Deno.test("chooseFiles() takes the variant, and the usual form of a component without it", () => {
  const paths = chosen(LISTING, { variant: "fp16" });
  assert.ok(paths.includes("transformer/diffusion_pytorch_model.fp16.safetensors"));
  assert.ok(!paths.includes("transformer/diffusion_pytorch_model.safetensors"));
  assert.ok(paths.includes("vae/diffusion_pytorch_model.safetensors"));
  const sharded = ["config.json", "model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors"];
  assert.deepEqual(chooseFiles("org/name", sharded, { variant: "fp16" }).indexes, [sharded[1]]);
  assert.throws(
    () => chosen(LISTING, { variant: "bf16" }),
    (error) => error instanceof UsageError && /variant "bf16".*fp16/.test(error.message),
  );
});

Deno.test("chooseFiles() takes .bin files only where there are no safetensors", () => {
  const names = ["config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin", "model.ckpt"];
  assert.deepEqual(chosen(names), names.slice(0, 2));
  assert.deepEqual(chosen([...names, "diffusion_pytorch_model.safetensors"]), [
    "config.json",
    "diffusion_pytorch_model.safetensors",
  ]);
});

Deno.test("chooseFiles() takes a model that is one component, and an adapter", () => {
  const t5 = ["config.json", "model.safetensors", "tokenizer.json", "README.md"];
  assert.deepEqual(chosen(t5), t5.slice(0, 3));
  assert.deepEqual(chosen(["adapter_config.json", "adapter_model.safetensors", "README.md"]), [
    "adapter_config.json",
    "adapter_model.safetensors",
  ]);
});

Deno.test("chooseFiles() says what is there where it finds nothing to take", () => {
  assert.throws(() => chosen(["A.pth", "README.md"]), /holds no component.*A\.pth is there/);
  assert.throws(() => chosen(LISTING, { files: ["unet"] }), /Cannot take unet of org\/name.*transformer/);
  assert.throws(
    () => chosen(["vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors", "vae/flax_model.msgpack"]),
    (error) => error instanceof DownloadError && /its folder vae.*ask for the variant fp16$/.test(error.message),
  );
  const { paths, missing } = chooseFiles("org/name", ["transformer/config.json", "transformer/model.safetensors"], {
    files: ["transformer", "vae"],
    partial: true,
  });
  assert.equal(paths.length, 2);
  assert.deepEqual(missing, ["vae"]);
});

Deno.test("chooseFiles() passes over paths that would lead out of the folder", () => {
  const bad = ["../config.json", "/etc/passwd", "a/../../b", "C:\\x", "vae\\..\\x", "transformer//config.json"];
  assert.throws(() => chosen(bad), /holds no component/);
  for (const path of bad) {
    assert.equal(isSafePath(path), false, path);
    assert.throws(() => chosen([...bad, "config.json", "model.bin"], { files: [path] }), UsageError, path);
  }
  assert.equal(isSafePath("a/b..c/.d"), true);
});

Deno.test("shardsOf() names each shard once, and refuses an index that is none", () => {
  const index = "text_encoder/model.safetensors.index.json";
  const shards = (json: unknown) => shardsOf("org/name", index, json, LISTING);
  const [first] = NEEDED.filter(isShard);
  const name = first.split("/")[1];
  assert.deepEqual(shards({ weight_map: { a: name, b: name } }), [first]);
  for (const json of [null, [], {}, { weight_map: [name] }]) {
    assert.throws(() => shards(json), /has no weight_map/);
  }
  for (const name of ["../vae/config.json", "gone.safetensors", 7, null]) {
    assert.throws(() => shards({ weight_map: { a: name } }), DownloadError);
  }
});

Deno.test("isModelId() tells names on the hub from paths", () => {
  for (const id of ["PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "a/b", "o_1/x.y-z"]) assert.ok(isModelId(id), id);
  const others = ["name", "a/b/c", "./a", "../a", "/a/b", "a/", "a/b--c", "a/b..c", "a/b.git", "a/-b", "a b/c", "a/é"];
  for (const text of [...others, "https://a/b", "", "a\\b"]) assert.ok(!isModelId(text), text);
});

Deno.test("checkRevision() takes what git takes as a name", () => {
  for (const name of ["main", "v1.0", "refs/pr/3", "a".repeat(40), "feature/x_y"]) checkRevision(name);
  for (const name of ["", "..", "a/../b", "/main", "main/", "a b", "a:b", "a\\b", "a//b"]) {
    assert.throws(() => checkRevision(name), UsageError, name);
  }
});
