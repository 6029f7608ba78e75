// Work that is told again instead of being done again: it must compute the same, and be done again as soon as anything moved.

import assert from "node:assert/strict";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { add } from "../../src/ops/add.ts";
import { mixNoise } from "../../src/ops/mix_noise.ts";
import { device } from "../_device.ts";

const SHAPE = [1, 1, 1, 64];

/** Work that makes x four times as large by way of memory of the arena; it counts how often it is done. */
class Quadrupling implements Disposable {
  readonly x = device.upload(new Float32Array(64).fill(1), SHAPE);
  done = 0;
  /** Recorded in the middle. */
  also: (rec: Recorder) => void = () => {};

  run(...traits: unknown[]): void {
    const rec = new Recorder(device);
    this.record(rec, ...traits);
    rec.submit();
  }

  record(rec: Recorder, ...traits: unknown[]): void {
    const { x } = this;
    using _scope = rec.scope();
    rec.replay(this, [x], traits, () => {
      this.done++;
      const clean = add(rec, x, x);
      this.also(rec);
      mixNoise(rec, x, { clean, noise: add(rec, clean, clean), keep: 1, add: 0.5 });
    });
  }

  async value(): Promise<number> {
    const numbers = await read(device, this.x);
    assert.ok(numbers.every((number) => number === numbers[0]));
    return numbers[0];
  }

  [Symbol.dispose](): void {
    this.x.dispose();
  }
}

Deno.test("Recorder.replay() does work once, and tells it again for whatever is in the tensors", async () => {
  using work = new Quadrupling();
  for (let i = 0; i < 3; i++) work.run();
  assert.deepEqual([work.done, await work.value()], [1, 64]);
  device.write(work.x, new Float32Array(64).fill(3));
  work.run();
  assert.deepEqual([work.done, await work.value()], [1, 12]);
});

Deno.test("Recorder.replay() does work again that goes by something else, and keeps that", async () => {
  using work = new Quadrupling();
  const trait = {};
  for (const traits of [[1, trait], [1, trait], [2, trait], [2, trait], [2, {}], []]) work.run(...traits);
  assert.deepEqual([work.done, await work.value()], [4, 4 ** 6]);
});

Deno.test("Recorder.replay() does work again while others use the memory that it took", async () => {
  using work = new Quadrupling();
  work.run();
  const held: Tensor[] = [];
  using scope = device.arena.scope();
  while (device.arena.freeBytes > 0 && held.length < 64) held.push(scope.tensor(SHAPE));
  for (const tensor of held) device.write(tensor, new Float32Array(64).fill(5));
  work.run();
  assert.deepEqual([work.done, await work.value()], [2, 16]);
  for (const tensor of held) assert.equal((await read(device, tensor))[0], 5);
});

Deno.test("Recorder.upload() takes no memory that a replay of the same recording writes", async () => {
  using work = new Quadrupling();
  work.run();
  const rec = new Recorder(device);
  using _scope = rec.scope();
  work.record(rec);
  const uploaded = rec.upload(new Float32Array(64).fill(7), SHAPE);
  rec.submit();
  assert.equal(work.done, 1);
  assert.equal((await read(device, uploaded))[0], 7);
});

Deno.test("Recorder.replay() does work again after a buffer of the device was freed", async () => {
  using work = new Quadrupling();
  work.run();
  device.tensor([4]).dispose();
  work.run();
  work.run();
  assert.deepEqual([work.done, await work.value()], [2, 64]);
  device.arena.trim();
  work.run();
  assert.deepEqual([work.done, await work.value()], [3, 256]);
});

Deno.test("Recorder.replay() does work each time that uploads, copies, flushes or keeps memory", async () => {
  using scope = device.arena.scope();
  const kept = scope.tensor(SHAPE), other = device.tensor(SHAPE);
  const each: ((rec: Recorder) => void)[] = [
    (rec) => add(rec, rec.upload(new Float32Array(4), [4]), other, { count: 4 }),
    (rec) => rec.copy(kept, other),
    (rec) => rec.flush(),
    (rec) => mixNoise(rec, kept, { clean: other, noise: other, keep: 1, add: 0 }),
  ];
  for (const also of each) {
    using work = new Quadrupling();
    work.also = also;
    for (let i = 0; i < 3; i++) work.run();
    assert.deepEqual([work.done, await work.value()], [3, 64], also.toString());
  }
  other.dispose();
});
