// Recorded work that is sent in several pieces.

import assert from "node:assert/strict";
import { DeviceError } from "../../src/errors.ts";
import { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { add } from "../../src/ops/add.ts";

Deno.test("Recorder.flush() sends what there is, and recording goes on", async () => {
  using device = await Device.open();
  const { queue } = device.gpu;
  let sent = 0;
  const submit = queue.submit.bind(queue);
  queue.submit = (buffers) => {
    sent++;
    submit(buffers);
  };
  const rec = new Recorder(device);
  using _scope = rec.scope();
  let x = rec.upload(Float32Array.of(1, 2, 3, 4), [4]);
  for (let step = 0; step < 3; step++) {
    // What is uploaded behind a flush must not be written over what is still to be read.
    x = rec.replace(x, (x) => add(rec, x, rec.upload(new Float32Array(4).fill(10 ** step), [4])));
    rec.flush();
    assert.equal(sent, step + 1);
  }
  rec.submit();
  queue.submit = submit;
  assert.deepEqual([...await read(device, x)], [112, 113, 114, 115]);
  assert.throws(() => rec.flush(), DeviceError);
});
