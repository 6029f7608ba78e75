// The generator against numbers that PyTorch drew with the same seeds.
import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats, readInts } from "../../src/io/weights.ts";
import { Generator } from "../../src/random/generator.ts";
import { MersenneTwister } from "../../src/random/mersenne_twister.ts";

const GOLDEN = new URL("../golden/rng/io.safetensors", import.meta.url);
const SEEDS = [0, 42, 1234567890123];

Deno.test("Generator.randn() draws PyTorch's numbers bit for bit, twice in a row, for every recorded shape", async () => {
  using golden = await openSafetensors(GOLDEN);
  let compared = 0;
  for (const name of golden.names().filter((name) => name.startsWith("randn."))) {
    const generator = new Generator(Number(/seed(\d+)/.exec(name)![1]));
    for (const draw of [name, name.replace("randn.", "randn2.")]) {
      const expected = await readFloats(golden, draw);
      const drawn = generator.randn(golden.info(draw).shape);
      assert.deepEqual(new Uint32Array(drawn.buffer), new Uint32Array(expected.slice().buffer), draw);
      compared++;
    }
  }
  assert.equal(compared, 36);
});

Deno.test("Generator.rand(), randint() and randperm() go on in one stream as PyTorch's do", async () => {
  using golden = await openSafetensors(GOLDEN);
  for (const seed of SEEDS) {
    const generator = new Generator(seed);
    assert.deepEqual(generator.rand(100), await readFloats(golden, `rand.seed${seed}`));
    assert.deepEqual(generator.randint(0, 1000, 64), await readInts(golden, `randint1000.seed${seed}`));
    assert.deepEqual(generator.randperm(50), await readInts(golden, `randperm50.seed${seed}`));
  }
});

Deno.test("Generator.randn() keeps the second of a pair for the next small draw", () => {
  const whole = new Generator(7).randn([6]);
  const generator = new Generator(7);
  const parts = [3, 1, 2].flatMap((count) => [...generator.randn([count])]);
  assert.deepEqual(parts, [...whole]);
});

Deno.test("Generator.randn() takes any shape, the empty and the scalar one too", () => {
  assert.equal(new Generator(0).randn([]).length, 1);
  assert.equal(new Generator(0).randn([2, 0, 5]).length, 0);
  assert.deepEqual(new Generator(0).randn([4, 8]), new Generator(0).randn([32]));
});

Deno.test("Generator.randint() takes 64 bits each when the range is wide", () => {
  const wide = new Generator(3).randint(-(2 ** 40), 2 ** 40, 100);
  assert.ok(wide.every((value) => value >= -(2 ** 40) && value < 2 ** 40));
  assert.ok(wide.some((value) => Math.abs(value) > 2 ** 38));
  const engine = new MersenneTwister(3);
  const words = [engine.next(), engine.next()];
  assert.deepEqual(new Generator(3).randint(0, 2 ** 28 - 1, 2), words.map((word) => word % (2 ** 28 - 1)));
  // A remainder by a power of two shows the low word, which comes second.
  assert.deepEqual(new Generator(3).randint(0, 2 ** 28, 1), [words[1] % 2 ** 28]);
});

Deno.test("Generator.manualSeed() takes 64-bit seeds, begins anew, and counts negative ones down from 2^64", () => {
  const generator = new Generator(5);
  const first = generator.randn([3]);
  assert.deepEqual(generator.manualSeed(5).randn([3]), first);
  assert.equal(new Generator(-1).seed, 2n ** 64n - 1n);
  assert.deepEqual(new Generator(-1).rand(3), new Generator(0xffffffff).rand(3));
  assert.deepEqual(new Generator(2n ** 63n + 5n).rand(3), new Generator(5).rand(3));
});

Deno.test("Generator() refuses seeds, shapes and ranges that are none", () => {
  for (const seed of [0.5, NaN, Infinity, 2 ** 60, 2n ** 64n, -(2n ** 63n) - 1n]) {
    assert.throws(() => new Generator(seed), UsageError, String(seed));
  }
  const generator = new Generator(0);
  assert.throws(() => generator.randn([2, -1]), UsageError);
  assert.throws(() => generator.randn([1.5]), UsageError);
  assert.throws(() => generator.rand(-1), UsageError);
  assert.throws(() => generator.randint(3, 3, 1), UsageError);
  assert.throws(() => generator.randint(0, 2 ** 54, 1), UsageError);
  assert.throws(() => generator.randperm(2 ** 30), UsageError);
});

Deno.test("Generator.fromEntropy() gives a seed that repeats its stream", () => {
  const generator = Generator.fromEntropy();
  assert.deepEqual(new Generator(generator.seed).rand(20), generator.rand(20));
});
