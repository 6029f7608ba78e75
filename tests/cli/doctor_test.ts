import assert from "node:assert/strict";
import packageJson from "../../deno.json" with { type: "json" };
import { examineBackend, isHealthy } from "../../src/cli/doctor_backend.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart, pixartStopped } from "./_cli.ts";

Deno.test("doctor() reports the machine, the adapter, the kernels and a self-test that passes", async () => {
  const { code, stdout, stderr } = await pixart(["doctor", "--json"]);
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout);
  assert.equal(report.ok, true);
  assert.equal(report.version, packageJson.version);
  assert.equal(report.machine.deno, Deno.version.deno);
  assert.ok(report.machine.memory.total > 0 && report.machine.cores > 0);
  const [used, other] = report.backends;
  assert.equal(used.needed, true);
  assert.equal(other.needed, false);
  const { adapter, kernels, selfTest } = used;
  assert.ok(adapter.description.length > 0);
  assert.equal(typeof adapter.features["shader-f16"], "boolean");
  assert.ok(adapter.limits.maxStorageBufferBindingSize >= 2 ** 27);
  assert.ok(Object.values(kernels).every((name) => typeof name === "string" && name !== ""));
  assert.deepEqual(
    selfTest.rows.map(({ op }: { op: string }) => op.split(",")[0]),
    ["matmul", "matmul", "attention", "layerNorm", "conv2d"],
  );
  for (const { op, maxError, ok } of selfTest.rows) {
    assert.ok(ok && maxError > 0 && maxError < 1e-5, `${op}: ${maxError}`);
  }
});

Deno.test("doctor() prints the same for people", async () => {
  const { code, stdout } = await pixart(["doctor", "--backend", Deno.env.get("PIXART_BACKEND") ?? "deno"]);
  assert.equal(code, 0);
  for (
    const line of [/^machine: /, /^ +adapter +\S/, /^ +limits +maxBufferSize/, /^ +kernels +matmul/, /self-test ok/]
  ) {
    assert.ok(linesOf(stdout).some((one) => line.test(one)), `${line}:\n${stdout}`);
  }
});

Deno.test("doctor() exits 2 when PIXART_BACKEND names no backend", async () => {
  const { code, stdout, stderr } = await pixart(["doctor", "--json"], { env: { PIXART_BACKEND: "cuda" } });
  assert.equal(code, 2);
  assert.match(stderr, /backend "cuda"/);
  assert.equal(JSON.parse(stdout).exitCode, 2);
});

Deno.test("doctor() exits 1 when the backend asked for cannot be loaded", async () => {
  // Without the permission for native code Dawn cannot be.
  const { code, stdout } = await pixart(["doctor", "--backend", "dawn", "--json"], { env: { PIXART_BACKEND: "deno" } });
  assert.equal(code, 1);
  const { ok, backends, advice } = JSON.parse(stdout);
  assert.equal(ok, false);
  assert.equal(backends[0].loaded, false);
  assert.match(advice[0], /--backend deno/);
  assert.match(backends[0].error, /Cannot open Dawn/);
});

Deno.test("isHealthy() wants right kernels of an adapter, and an adapter where one is needed", async () => {
  const { adapter, selfTest } = await examineBackend("deno", true, undefined);
  assert.ok(adapter && selfTest);
  for (const needed of [true, false]) {
    assert.equal(isHealthy({ needed, adapter, selfTest }), true);
    assert.equal(isHealthy({ needed, adapter, selfTest: { ...selfTest, ok: false } }), false);
    assert.equal(isHealthy({ needed, adapter }), false); // it broke off
    assert.equal(isHealthy({ needed }), !needed);
  }
});

Deno.test("doctor() tunes an adapter, says that it is tuned, tells a damaged file in a line, and forgets it", async () => {
  using caches = temporaryFolder();
  const env = { XDG_CACHE_HOME: caches.path };
  const doctor = async (...args: string[]) => {
    const { code, stdout, stderr } = await pixart(["doctor", "--json", ...args], { env });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const tuned = await doctor("--tune", "--limit", "1");
  assert.ok(tuned.rows.length > 1 && tuned.rows.every(({ ok }: { ok: boolean }) => ok), JSON.stringify(tuned.rows));
  assert.ok(tuned.path.startsWith(caches.path));
  const [{ tiles, selfTest }] = (await doctor()).backends;
  assert.equal(tiles.tuned.path, tuned.path);
  assert.equal(selfTest.ok, true);
  Deno.writeTextFileSync(tuned.path, "{");
  const [damaged] = (await doctor()).backends;
  assert.equal(damaged.tiles.tuned, null);
  assert.match(damaged.tiles.warning, /^Cannot use the tuned tiles of .*--forget$/);
  assert.deepEqual([(await doctor("--forget")).forgotten, (await doctor("--forget")).forgotten], [true, false]);
  assert.deepEqual((await doctor()).backends[0].tiles, { tuned: null });
});

Deno.test("doctor() exits 2 when its options do not go together", async () => {
  for (const args of [["--tune", "--forget"], ["--limit", "5"]]) {
    const { code, stderr } = await pixart(["doctor", ...args]);
    assert.equal(code, 2, stderr);
  }
});

Deno.test("doctor() stops tuning when it is interrupted, and keeps nothing", async () => {
  using caches = temporaryFolder();
  const env = { XDG_CACHE_HOME: caches.path };
  const { code, stderr } = await pixartStopped(["doctor", "--tune"], "tuning", "SIGINT", { env });
  assert.equal(code, 130, stderr);
  assert.match(stderr, /SIGINT stopped it/);
  assert.ok(!namesIn(caches.path).includes("pixart"));
});
