import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf } from "../../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import type { WeightSource } from "../../src/io/weights.ts";
import { Linear } from "../../src/layers/linear.ts";
import { ParameterSet } from "../../src/layers/parameters.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

function product(
  x: Float32Array,
  w: (n: number, k: number) => number,
  rows: number,
  K: number,
  N: number,
): Float64Array {
  const y = new Float64Array(rows * N);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) y[m * N + n] += x[m * K + k] * w(n, k);
  }
  return y;
}

Deno.test("Linear.forward() stacks several names side by side", async () => {
  const [rows, K, N] = [5, 12, 6];
  const weights = [numbers(N * K, 1), numbers(N * K, 2)], biases = [numbers(N, 3), numbers(N, 4)];
  using source = await openSafetensors(bytesOf(
    "stacked",
    encodeSafetensors({
      "q.weight": { dtype: "F32", shape: [N, K], data: weights[0] },
      "k.weight": { dtype: "F32", shape: [N, K], data: weights[1] },
      "q.bias": { dtype: "F32", shape: [N], data: biases[0] },
      "k.bias": { dtype: "F32", shape: [N], data: biases[1] },
    }),
  ));
  using parameters = new ParameterSet(device, "a test", "f32");
  const linear = new Linear(parameters, ["q", "k"], K, N);
  await parameters.load(source);
  const x = numbers(rows * K, 5);
  const expected = product(x, (n, k) => weights[Math.floor(n / N)][(n % N) * K + k], rows, K, 2 * N);
  const withBias = expected.map((value, i) => value + biases[Math.floor((i % (2 * N)) / N)][i % N]);
  assertClose(await run((rec) => linear.forward(rec, rec.upload(x, [rows, K]))), withBias, 1e-6);
});

Deno.test("Linear.forward() multiplies by a weight that one binding cannot hold", async () => {
  const N = 580;
  // Nine groups of 64 columns fill a binding, and four columns are left. Old lavapipe ends loops after 65,535 turns: K is below.
  const K = Math.floor(device.limits.maxStorageBufferBindingSize / (9 * 64 * 4));
  if (K > 65535) return; // a device with bindings of gigabytes does not split at this size
  const value = (n: number, k: number) => ((n * 7 + k * 3) % 13 - 6) / 64;
  const source: WeightSource = {
    name: "made up",
    metadata: {},
    names: () => ["w.weight", "w.bias"],
    has: (name) => name.startsWith("w."),
    info: (name) =>
      name === "w.weight"
        ? { name, dtype: "F32", shape: [N, K], byteLength: N * K * 4 }
        : { name, dtype: "F32", shape: [N], byteLength: N * 4 },
    read: (name, start = 0, end = N * 4) => {
      const data = Float32Array.from({ length: (end - start) / 4 }, (_, i) => {
        const at = start / 4 + i;
        return name === "w.weight" ? value(Math.floor(at / K), at % K) : at;
      });
      return Promise.resolve(new Uint8Array(data.buffer));
    },
    [Symbol.dispose]: () => {},
  };
  const before = device.ledger.bytes;
  const parameters = new ParameterSet(device, "a test", "f32");
  const linear = new Linear(parameters, "w", K, N);
  await parameters.load(source);
  assert.equal(linear.weight.parts.length, 2);
  const x = numbers(K, 5);
  const expected = product(x, value, 1, K, N).map((sum, n) => sum + n);
  assertClose(await run((rec) => linear.forward(rec, rec.upload(x, [1, K]))), expected, 2e-5);
  const residual = await run((rec) => {
    const addTo = rec.upload(new Float32Array(N).fill(1), [1, N]);
    return linear.forward(rec, rec.upload(x, [1, K]), { addTo });
  });
  assertClose(residual, expected.map((sum) => sum + 1), 2e-5);
  parameters.dispose();
  device.arena.trim();
  assert.ok(device.ledger.bytes - before < 1 << 20); // uniforms stay
});

Deno.test("ParameterSet.load() names what is missing, left over and misshapen, and keeps nothing", async () => {
  using source = await openSafetensors(bytesOf(
    "odd",
    encodeSafetensors({
      "a.weight": { dtype: "F32", shape: [3, 4], data: numbers(12) },
      "stray": { dtype: "F32", shape: [1], data: numbers(1) },
    }),
  ));
  const before = device.ledger.bytes;
  const parameters = new ParameterSet(device, "SomeModel", "f32");
  new Linear(parameters, "a", 4, 4);
  await assert.rejects(parameters.load(source), (error) => {
    assert.ok(error instanceof WeightsError);
    for (const part of ["SomeModel", "a.bias", "stray", "[3, 4]", "[4, 4]"]) {
      assert.ok(error.message.includes(part), part);
    }
    return true;
  });
  assert.equal(device.ledger.bytes, before);
});

Deno.test("ParameterSet.load() frees what it loaded when a read fails or the signal is aborted", async () => {
  const file = encodeSafetensors({
    "a.weight": { dtype: "F16", shape: [4, 4], data: new Uint16Array(16) },
    "a.bias": { dtype: "F32", shape: [4], data: numbers(4) },
  });
  using source = await openSafetensors(bytesOf("whole", file));
  const before = device.ledger.bytes;
  const failing: WeightSource = {
    name: "failing",
    metadata: {},
    names: () => source.names(),
    has: (name) => source.has(name),
    info: (name) => source.info(name),
    read: (name, ...range) =>
      name === "a.bias" ? Promise.reject(new WeightsError("the disk is gone")) : source.read(name, ...range),
    [Symbol.dispose]: () => {},
  };
  const parameters = new ParameterSet(device, "SomeModel", "f16");
  new Linear(parameters, "a", 4, 4);
  await assert.rejects(parameters.load(failing), /the disk is gone/);
  assert.equal(device.ledger.bytes, before);
  await assert.rejects(parameters.load(source, { signal: AbortSignal.abort(new Error("stop")) }), /stop/);
  assert.equal(device.ledger.bytes, before);
});
