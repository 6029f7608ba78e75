import assert from "node:assert/strict";
import {
  evenly,
  flowSigmas,
  karrasSigmas,
  roundHalfEven,
  spacedTimesteps,
  symmetricBetaQuantile,
  timestepOf,
} from "../../src/schedulers/spacing.ts";
import { assertClose } from "./_runner.ts";

Deno.test("evenly() keeps both ends when the step is no binary fraction", () => {
  const numbers = evenly(0, 999, 21);
  assert.equal(numbers.length, 21);
  assert.equal(numbers[20], 999);
  assert.deepEqual(evenly(3, 9, 1), [3]);
});

Deno.test("roundHalfEven() rounds halves to the even neighbour", () => {
  const values = [0.5, 1.5, 2.5, 499.5, -0.5, -1.5, 0.49, 1.51, -2.2];
  assert.deepEqual(values.map((value) => roundHalfEven(value) + 0), [0, 2, 2, 500, 0, -2, 0, 2, -2]);
});

Deno.test("spacedTimesteps() chooses from the noisiest to the cleanest", () => {
  assert.deepEqual(spacedTimesteps("linspace", 4, 1000, 1000, 0), [999, 749, 500, 250]);
  assert.deepEqual(spacedTimesteps("leading", 4, 1000, 1000, 1), [801, 601, 401, 201]);
  assert.deepEqual(spacedTimesteps("trailing", 4, 1000, 1000, 0), [999, 749, 499, 249]);
});

Deno.test("spacedTimesteps() chooses from the usable part when the noisy end is clipped", () => {
  assert.deepEqual(spacedTimesteps("linspace", 2, 801, 1000, 0), [800, 400]);
  assert.deepEqual(spacedTimesteps("trailing", 4, 600, 1000, 0), [599, 349, 99]);
});

// Values of scipy.stats.beta.ppf(p, 0.6, 0.6).
Deno.test("symmetricBetaQuantile() matches scipy", () => {
  const expected: [number, number][] = [
    [0, 0.0],
    [0.0001, 3.998377158137721e-07],
    [0.1, 0.03958440558878085],
    [0.25, 0.17568037865269498],
    [0.5, 0.5000000000000001],
    [0.75, 0.824319621347305],
    [0.9, 0.9604155944112192],
    [1, 1.0],
  ];
  for (const [probability, quantile] of expected) {
    assert.ok(Math.abs(symmetricBetaQuantile(probability, 0.6) - quantile) < 1e-13, `at ${probability}`);
  }
});

Deno.test("karrasSigmas() starts and ends at the ends", () => {
  assertClose([karrasSigmas(157, 0.01, 5)[0], karrasSigmas(157, 0.01, 5)[4]], [157, 0.01], 1e-12, "ends");
});

Deno.test("flowSigmas() moves towards noise when shifted", () => {
  assertClose(flowSigmas(1000, 4, 1), [0.999, 0.74925, 0.4995, 0.24975], 1e-12, "unshifted");
  assert.ok(flowSigmas(1000, 4, 3).every((sigma, index) => sigma > flowSigmas(1000, 4, 1)[index]));
});

Deno.test("timestepOf() interpolates and stays inside the schedule", () => {
  const logs = Float32Array.of(-1, 0, 1, 3);
  assert.deepEqual([-5, -1, 0, 0.25, 2, 3, 7].map((log) => timestepOf(Math.exp(log), logs)), [
    0,
    0,
    1,
    1.25,
    2.5,
    3,
    3,
  ]);
});
