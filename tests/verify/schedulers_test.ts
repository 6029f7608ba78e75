// Schedulers on the GPU against diffusers' traces.

import assert from "node:assert/strict";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { SCHEDULERS } from "../../src/schedulers/registry.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { assertVerifies, floats, FolderCopy, golden } from "../verify/_folders.ts";

const FOLDER = golden("schedulers-dpm");

Deno.test("DPMSolverMultistepScheduler and its kernel match diffusers at every step of every recorded run", async () => {
  const { outputs } = await assertVerifies(FOLDER, { device });
  const index = await readJson(joinPath(FOLDER, "index.json")) as Record<string, { num_inference_steps: number }>;
  for (const [name, { num_inference_steps: steps }] of Object.entries(index)) {
    const rows = outputs.filter((row) => row.name.startsWith(`${name}/`)).map((row) => row.name.slice(name.length + 1));
    const numbered = Array.from({ length: steps }, (_, i) => `out.${String(i).padStart(3, "0")}`);
    assert.deepEqual(rows, ["init_noise_sigma", "timesteps", "sigmas", ...numbered, "add.out"], name);
  }
});

Deno.test("every scheduler and its kernel match diffusers at every recorded step", async () => {
  const folder = golden("schedulers");
  const { outputs } = await assertVerifies(folder, { device });
  const index = await readJson(joinPath(folder, "index.json")) as Record<string, { scheduler: string }>;
  const last = Object.keys(index).map((name) => outputs.findLast((row) => row.name.startsWith(`${name}/out.`)));
  assert.ok(last.every((row) => row !== undefined));
  const diffusers = Object.keys(SCHEDULERS).filter((name) => !["DPMS", "IDDPM", "SASolverSampler"].includes(name));
  const covered = new Set(Object.values(index).map(({ scheduler }) => scheduler));
  assert.deepEqual(diffusers.filter((name) => !covered.has(name)), ["DPMSolverMultistepScheduler"]);
});

/** A copy with few of the runs, changed by `work`. */
async function withIndex(names: string[], work: (index: Record<string, Record<string, unknown>>) => void) {
  const copy = await FolderCopy.of(FOLDER);
  const path = joinPath(copy.path, "index.json");
  const all = await readJson(path) as Record<string, Record<string, unknown>>;
  const index = Object.fromEntries(names.map((name) => [name, all[name]]));
  work(index);
  await Deno.writeTextFile(path, JSON.stringify(index));
  return copy;
}

Deno.test("verifyFolder() fails runs of schedulers and arguments that are not implemented, and goes on with the others", async () => {
  using copy = await withIndex(["dpmpp-1-5", "dpmpp-2m-14", "dpmpp-2m-20", "dpmpp-2m-vpred-8"], (index) => {
    index["dpmpp-2m-14"].scheduler = "NoSuchScheduler";
    index["dpmpp-2m-20"].step = { no_such_argument: 1 };
    (index["dpmpp-2m-vpred-8"].config as Record<string, unknown>).prediction_type = "no such type";
  });
  const { ok, component, outputs } = await verifyFolder(copy.path, { device });
  assert.deepEqual([ok, component], [false, "schedulers"]);
  const failed = outputs.filter((row) => !row.ok);
  assert.deepEqual(failed.map(({ name, maxAbsError }) => [name, maxAbsError]), [
    ["dpmpp-2m-14", NaN],
    ["dpmpp-2m-20", NaN],
    ["dpmpp-2m-vpred-8", NaN],
  ]);
  assert.equal(failed[0].note, "not implemented: NoSuchScheduler");
  assert.equal(failed[1].note, "not implemented: step(no_such_argument) of DPMSolverMultistepScheduler");
  assert.match(failed[2].note ?? "", /prediction_type must be one of/);
  assert.ok(outputs.some((row) => row.ok && row.name === "dpmpp-1-5/out.004"));
});

Deno.test("verifyFolder() fails a trace with other numbers, more steps or more noise than the scheduler makes", async () => {
  using copy = await withIndex(["dpmpp-1-5", "dpmpp-2m-sde-10"], () => {});
  await copy.change("dpmpp-1-5.safetensors", (tensors) => {
    floats(tensors["out.002"])[0] *= 2;
    tensors["out.005"] = tensors["out.004"];
    const { data } = tensors["timesteps"];
    new DataView(data.buffer, data.byteOffset).setFloat64(8, 798, true);
  });
  await copy.change("dpmpp-2m-sde-10.safetensors", (tensors) => tensors["noise.010"] = tensors["noise.000"]);
  const { outputs } = await verifyFolder(copy.path, { device });
  const failed = outputs.filter((row) => !row.ok).map((row) => row.name);
  assert.deepEqual(failed, [
    "dpmpp-1-5/timesteps",
    "dpmpp-1-5/out.002",
    "dpmpp-1-5/out.005",
    "dpmpp-2m-sde-10/noises drawn",
  ]);
});
