import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { StepNoise } from "../../src/schedulers/step_noise.ts";

const draw = (...values: number[]) => Float32Array.from(values);

Deno.test("StepNoise gives the draw, and nothing where a step adds no noise", () => {
  const noise = new StepNoise();
  assert.equal(noise.next({ noise: 0 }, undefined), undefined);
  assert.equal(noise.next({ noise: 0 }, draw(1, 2)), undefined);
  assert.deepEqual(noise.next({ noise: 3 }, draw(4, 5)), draw(4, 5));
});

Deno.test("StepNoise takes back the draw of the step before, even where that added none", () => {
  const noise = new StepNoise();
  noise.next({ noise: 0 }, draw(1, 2));
  assert.deepEqual(noise.next({ noise: 1, previousNoise: -0.5 }, draw(4, 5)), draw(3.5, 4));
  // The draw itself, not what was made of it.
  assert.deepEqual(noise.next({ noise: 1, previousNoise: 2 }, draw(1, 1)), draw(9, 11));
});

Deno.test("StepNoise refuses to take back what was not drawn", () => {
  const noise = new StepNoise();
  assert.throws(() => noise.next({ noise: 1, previousNoise: 1 }, draw(1)), UsageError);
  noise.next({ noise: 0 }, undefined);
  assert.throws(() => noise.next({ noise: 1, previousNoise: 1 }, draw(1)), /this step's, 1: 0/);
});
