// Buffers that are used again: for what is uploaded only when no recording that is yet to run needs them, and in the same order each
// time, so that bind groups are found again.

import assert from "node:assert/strict";
import { Device } from "../../src/gpu/device.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { add } from "../../src/ops/add.ts";

Deno.test("Recorder.upload() takes no buffer that its own recording still uses, and takes it later", async () => {
  using device = await Device.open();
  const fill = (value: number) => new Float32Array(4).fill(value);
  const buffers: number[] = [];
  for (const first of [1, 5]) {
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const x = rec.upload(fill(first), [4]);
    const sum = rec.scoped(() => add(rec, x, rec.upload(fill(10), [4])));
    // The 10 are free for activations now, but written over before the sum is made they would be wrong.
    const late = rec.upload(fill(first + 1), [4]);
    rec.submit();
    assert.deepEqual(await readAll(device, [sum, late]), [fill(first + 10), fill(first + 1)]);
    buffers.push(device.ledger.buffers);
  }
  assert.equal(buffers[1], buffers[0]);
});

Deno.test("Arena gives the same buffers to the same run, whatever the order in which they came back", async () => {
  using device = await Device.open();
  const take = (giveBackwards: boolean) => {
    const taken = [4000, 4000, 4100, 8000].map((bytes) => device.arena.take(bytes));
    for (const storage of giveBackwards ? taken.toReversed() : taken) device.arena.give(storage);
    return taken.map(({ id }) => id);
  };
  const first = take(true);
  assert.deepEqual(take(false), first);
  assert.deepEqual(take(true), first);
});
