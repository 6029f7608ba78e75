// Loading, setting, fusing and unloading LoRAs on a model of two weights.

import assert from "node:assert/strict";
import { UsageError, WeightsError } from "../../src/errors.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { bytesOf } from "../../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import type { WeightSource } from "../../src/io/weights.ts";
import { AdapterSet } from "../../src/layers/adapters.ts";
import { type Matrix, ParameterSet } from "../../src/layers/parameters.ts";
import { device } from "../_device.ts";
import { type Floats, LoraFolder, tensor } from "../io/_lora_files.ts";
import { assertClose, numbers } from "../_reference.ts";

const ROWS = 8, DEPTH = 12, RANK = 2;
const FILE = encodeSafetensors({
  "one.weight": { dtype: "F32", shape: [ROWS, DEPTH], data: numbers(ROWS * DEPTH, 1) },
  "two.weight": { dtype: "F32", shape: [ROWS, DEPTH], data: numbers(ROWS * DEPTH, 2) },
});

/** A model, and LoRAs for it in files. */
class Fixture implements Disposable {
  readonly folder = new LoraFolder();
  readonly parameters = new ParameterSet(device, "a model", "f32");
  readonly one: Matrix;
  readonly two: Matrix;
  readonly adapters: AdapterSet;
  /** Reads of the checkpoint so far, in order. */
  readonly reads: string[] = [];
  /** Called before each read. */
  beforeRead = (_name: string) => {};

  private constructor(canReopen: boolean) {
    const spec = { outFeatures: ROWS, inFeatures: DEPTH, taps: 1, shape: [ROWS, DEPTH] };
    this.one = this.parameters.matrix("one.weight", spec);
    this.two = this.parameters.matrix("two.weight", spec);
    this.adapters = new AdapterSet(this.parameters, canReopen ? () => this.open() : undefined);
  }

  static async make(canReopen = true): Promise<Fixture> {
    const fixture = new Fixture(canReopen);
    using source = await fixture.open();
    await fixture.parameters.load(source);
    fixture.reads.length = 0;
    return fixture;
  }

  async open(): Promise<WeightSource> {
    const source = await openSafetensors(bytesOf("checkpoint", FILE.slice()));
    const read = source.read.bind(source);
    return Object.assign(source, {
      read: (name: string, ...range: []) => {
        this.beforeRead(name);
        this.reads.push(name);
        return read(name, ...range);
      },
    });
  }

  /** Writes a LoRA of some modules; with a magnitude, a DoRA. */
  lora(name: string, seed: number, modules: readonly string[], isDora = false): string {
    const tensors: Floats = {};
    for (const [i, module] of modules.entries()) {
      tensors[`${module}.lora_A.weight`] = tensor([RANK, DEPTH], seed + 10 * i);
      tensors[`${module}.lora_B.weight`] = tensor([ROWS, RANK], seed + 10 * i + 1);
      if (isDora) tensors[`${module}.lora_magnitude_vector`] = tensor([ROWS], seed + 10 * i + 2);
    }
    return this.folder.write(`${name}.safetensors`, tensors);
  }

  /** The two weights as they are on the GPU. */
  async weights(): Promise<Float32Array[]> {
    return await readAll(device, [this.one.tensor, this.two.tensor]) as Float32Array[];
  }

  status(): string {
    return this.adapters.list.map(({ name, status, scale }) => `${name} ${status} ${scale}`).join(", ");
  }

  [Symbol.dispose](): void {
    this.parameters.dispose();
    this.folder[Symbol.dispose]();
  }
}

const difference = (a: Float32Array, b: Float32Array) => a.map((value, i) => value - b[i]);

Deno.test("AdapterSet.load() makes a LoRA the active one and reads only the weights that it changes", async () => {
  using fixture = await Fixture.make();
  const { adapters, reads } = fixture;
  const before = await fixture.weights();
  const name = await adapters.load(fixture.lora("a", 3, ["one"]));
  assert.equal(name, "default_0");
  assert.deepEqual(reads, ["one.weight"]);
  const after = await fixture.weights();
  assert.notDeepEqual(after[0], before[0]);
  assert.deepEqual(after[1], before[1]);
  const [info] = adapters.list;
  assert.deepEqual([info.status, info.scale, info.isDora, info.modules, info.ignored], ["active", 1, false, 1, []]);
  assert.match(info.source, /a\.safetensors$/);
  assert.equal(await adapters.load(fixture.lora("b", 4, ["two"]), { adapterName: "b" }), "b");
  assert.equal(fixture.status(), "b active 1, default_0 inactive 1");
  const last = await fixture.weights();
  assert.deepEqual(last[0], before[0]);
  assert.equal(await adapters.load(fixture.lora("c", 5, ["two"]), { activate: false }), "default_2");
  assert.deepEqual(await fixture.weights(), last);
});

Deno.test("AdapterSet.set() sums LoRAs at their scales, and comes back to the very same weights", async () => {
  using fixture = await Fixture.make();
  const { adapters } = fixture;
  const before = await fixture.weights();
  const bytes = device.ledger.bytes, buffers = device.ledger.buffers;
  await adapters.load(fixture.lora("a", 3, ["one", "two"]), { adapterName: "a" });
  const a = await fixture.weights();
  await adapters.load(fixture.lora("b", 5, ["one"]), { adapterName: "b" });
  const b = await fixture.weights();
  await adapters.set(["a", "b"], [0.5, -2]);
  assert.equal(fixture.status(), "a active 0.5, b active -2");
  const [one, two] = await fixture.weights();
  const sum = before[0].map((w, i) => w + 0.5 * (a[0][i] - w) - 2 * (b[0][i] - w));
  assertClose(one, sum, 1e-6);
  assertClose(difference(two, before[1]), difference(a[1], before[1]).map((value) => value / 2), 1e-6);
  await adapters.set("a");
  assert.deepEqual(await fixture.weights(), a);
  fixture.reads.length = 0;
  await adapters.set("a", 1);
  assert.deepEqual(fixture.reads, [], "nothing changes");
  await adapters.set("a", 0);
  assert.deepEqual(await fixture.weights(), before);
  fixture.reads.length = 0;
  await adapters.set([]);
  assert.deepEqual(fixture.reads, [], "a scale of 0 is none");
  assert.equal(fixture.status(), "a inactive 0, b inactive -2");
  for (let i = 0; i < 3; i++) await adapters.set(["b", "a"], [1.3, 0.7 + i]);
  await adapters.unload();
  assert.deepEqual(await fixture.weights(), before);
  assert.deepEqual([device.ledger.bytes, device.ledger.buffers, adapters.list], [bytes, buffers, []]);
});

Deno.test("AdapterSet.fuse() makes LoRAs part of the weights, under others and after unloading, until unfuse()", async () => {
  using fixture = await Fixture.make();
  const { adapters } = fixture;
  const before = await fixture.weights();
  await adapters.load(fixture.lora("a", 3, ["one"], true), { adapterName: "a" });
  await adapters.set("a", 0.5);
  const half = await fixture.weights();
  await adapters.fuse();
  assert.equal(fixture.status(), "a fused 0.5");
  assert.deepEqual(await fixture.weights(), half);
  await assert.rejects(adapters.set("a", 1), /"a" is in the weights already: it is fused; unfuse first/);
  await adapters.load(fixture.lora("b", 5, ["two"]), { adapterName: "b" });
  const both = await fixture.weights();
  assert.deepEqual(both[0], half[0]);
  assert.equal(fixture.status(), "a fused 0.5, b active 1");
  await adapters.unfuse();
  assert.equal(fixture.status(), "a active 0.5, b active 1");
  assert.deepEqual(await fixture.weights(), both);
  await adapters.fuse({ loraScale: 2, adapterNames: ["a"] });
  await adapters.unload();
  assert.equal(fixture.status(), "a fused 1");
  await adapters.load(fixture.lora("c", 7, ["one"]), { adapterName: "a" });
  await adapters.unload("a");
  await adapters.unfuse();
  assert.deepEqual([await fixture.weights(), fixture.status()], [before, ""]);
  await assert.rejects(adapters.fuse(), UsageError);
});

Deno.test("AdapterSet refuses names and scales that do not fit", async () => {
  using fixture = await Fixture.make();
  const { adapters } = fixture;
  const file = fixture.lora("a", 3, ["one"]);
  await adapters.load(file, { adapterName: "a" });
  const before = await fixture.weights();
  const wrong: [() => Promise<unknown>, RegExp][] = [
    [() => adapters.load(file, { adapterName: "a" }), /as "a" as names must differ: it is taken/],
    [() => adapters.set("b"), /"b" must be loaded: loaded are a$/],
    [() => adapters.set(["a", "a"]), /each can be set once/],
    [() => adapters.set(["a"], [1, 2]), /each must have a scale: 1 and 2/],
    [() => adapters.set("a", NaN), /scales must be finite numbers: NaN/],
    [() => adapters.unload("b"), /"b" must be loaded/],
    [() => adapters.fuse({ loraScale: Infinity }), /finite/],
  ];
  for (const [work, message] of wrong) {
    await assert.rejects(work(), (error) => error instanceof UsageError && message.test(error.message));
  }
  assert.equal(fixture.status(), "a active 1");
  assert.deepEqual(await fixture.weights(), before);
  using closed = await Fixture.make(false);
  await assert.rejects(closed.adapters.load(file), (error) => {
    return error instanceof UsageError && /its checkpoint must be readable again/.test(error.message);
  });
  assert.deepEqual(closed.adapters.list, []);
});

Deno.test("AdapterSet goes back to the weights before when a change fails or is aborted", async () => {
  using fixture = await Fixture.make();
  const { adapters } = fixture;
  await adapters.load(fixture.lora("a", 3, ["one", "two"]), { adapterName: "a" });
  const before = await fixture.weights();
  const aborter = new AbortController();
  fixture.beforeRead = () => aborter.abort(new Error("enough"));
  await assert.rejects(adapters.set("a", 2, { signal: aborter.signal }), /enough/);
  assert.deepEqual([await fixture.weights(), fixture.status()], [before, "a active 1"]);

  fixture.beforeRead = (name) => {
    if (name === "two.weight") throw new WeightsError("Cannot read two.weight: gone");
  };
  await assert.rejects(adapters.set("a", 2), /gone/);
  await assert.rejects(fixture.weights(), WeightsError, "neither the one nor the other state: not to be used");
  fixture.beforeRead = () => {};
  await adapters.set("a", 1);
  assert.deepEqual(await fixture.weights(), before);
});

Deno.test("AdapterSet makes changes in the order of the calls", async () => {
  using fixture = await Fixture.make();
  const { adapters } = fixture;
  const before = await fixture.weights();
  const file = fixture.lora("a", 3, ["one"]);
  const calls = [adapters.load(file, { adapterName: "a" }), adapters.set("a", 3), adapters.fuse(), adapters.unfuse()];
  await Promise.all(calls);
  assert.equal(fixture.status(), "a active 3");
  const failing = adapters.set("none");
  const after = adapters.unload("a");
  await assert.rejects(failing, UsageError);
  await after;
  assert.deepEqual(await fixture.weights(), before);
});
