// The original repository's samplers on the GPU against runs of its code.

import assert from "node:assert/strict";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { assertVerifies, floats, FolderCopy, golden, type Tensors } from "./_folders.ts";

const FOLDER = golden("orig-samplers");

Deno.test("verifyFolder() runs the original's DPMS and IDDPM, and has a row for every recorded number", async () => {
  const { component, outputs } = await assertVerifies(FOLDER, { device });
  assert.equal(component, "original samplers");
  const runs = ["dpms.14", "dpms.20", "iddpm.20"];
  assert.deepEqual(
    outputs.map((row) => row.name),
    runs.flatMap((name) => [`${name}.model_timesteps`, `${name}.out`]),
  );
});

interface OptionTrace {
  sampler: string;
  config: Record<string, unknown>;
  steps: number;
  timesteps: number[];
  in: number[];
  out: number[];
  noises?: number[][];
}

const tensor = (numbers: readonly number[], shape: number[]) =>
  ({ dtype: "F32", shape, data: new Uint8Array(Float32Array.from(numbers).buffer) }) as Tensors[string];

Deno.test("verifyFolder() honours the options that an index gives the original's samplers, for two samples", async () => {
  const traces = await readJson(joinPath(FOLDER, "options.json")) as Record<string, OptionTrace>;
  const names = [
    "DPMS: order 3 dpmsolver++ dpmsolver singlestep",
    "DPMS: order 2 dpmsolver taylor multistep",
    "IDDPM: short training",
  ];
  for (const name of names) {
    const { sampler, config, steps, timesteps, in: start, out, noises } = traces[name];
    const [prefix, shape] = [`${sampler.toLowerCase()}.${steps}`, [2, 1, 2, 3]];
    using folder = temporaryFolder();
    // With no condition the network is the one that these were recorded with.
    const index = { model: "0.7 x + 0.3 sin(3 x + t / 100) + 0.1 c", cond: 0, null: 0, cfg_scale: 3 };
    await Deno.writeTextFile(
      joinPath(folder.path, "index.json"),
      JSON.stringify({ ...index, [sampler.toLowerCase()]: config }),
    );
    const tensors: Tensors = {
      "in.z": tensor(start, shape),
      [`${prefix}.out`]: tensor(out, shape),
      [`${prefix}.model_timesteps`]: tensor(timesteps, [timesteps.length]),
    };
    if (noises) tensors[`${prefix}.noise`] = tensor(noises.flat(), [noises.length, ...shape]);
    await Deno.writeFile(joinPath(folder.path, "io.safetensors"), encodeSafetensors(tensors));
    const { outputs } = await assertVerifies(folder.path, { device });
    assert.equal(outputs.length, 2, name);
  }
});

Deno.test("verifyFolder() fails a run of the original's samplers with other numbers, options or draws, and no other", async () => {
  using copy = await FolderCopy.of(FOLDER);
  await copy.change("io.safetensors", (tensors) => {
    floats(tensors["dpms.14.out"])[3] *= 1.01;
    floats(tensors["dpms.20.model_timesteps"])[1] += 1;
    const { shape, data } = tensors["iddpm.20.noise"];
    const noise = { shape: [21, ...shape.slice(1)], data: new Uint8Array(data.length / 20 * 21) };
    noise.data.set(data);
    Object.assign(tensors["iddpm.20.noise"], noise);
    tensors["sa.20.out"] = tensors["dpms.20.out"];
  });
  const { outputs } = await verifyFolder(copy.path, { device });
  assert.deepEqual(
    outputs.filter((row) => !row.ok).map((row) => row.name),
    ["dpms.14.out", "dpms.20.model_timesteps", "iddpm.20.noise", "sa.20.out"],
  );
  const path = joinPath(copy.path, "index.json");
  const index = await readJson(path) as Record<string, unknown>;
  await Deno.writeTextFile(path, JSON.stringify({ ...index, dpms: { order: 2, no_such_option: 1 } }));
  const report = await verifyFolder(copy.path, { device });
  assert.equal(
    report.outputs.find((row) => row.name === "dpms.20.out")?.note,
    "not implemented: no_such_option of DPMS",
  );
  await Deno.writeTextFile(path, JSON.stringify({ ...index, model: "x" }));
  await assert.rejects(verifyFolder(copy.path, { device }), /model must be 0\.7 x/);
});
