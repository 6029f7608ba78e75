import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { joinedTensors, MappedWeights, partOfTensor, wholeTensor } from "../../src/io/mapped_weights.ts";
import { readFloats } from "../../src/io/weights.ts";
import { prefixBefore, withoutPrefix } from "../../src/io/weight_prefix.ts";
import { counting, inMemory } from "../_weights.ts";

Deno.test("MappedWeights reads parts, joined tensors and other shapes, by any range", async () => {
  const source = await inMemory({ a: counting([4, 3]), b: counting([2, 3], 100) });
  using view = new MappedWeights(
    source,
    new Map([
      ["part", partOfTensor(source, "a", 1, 2)],
      ["joined", joinedTensors(source, ["b", "a"])],
      ["flat", wholeTensor(source, "b", [6])],
    ]),
  );
  assert.deepEqual(view.names(), ["flat", "joined", "part"]);
  assert.deepEqual(view.info("part"), { name: "part", dtype: "F32", shape: [2, 3], byteLength: 24 });
  assert.deepEqual(view.info("joined").shape, [6, 3]);
  assert.deepEqual([...await readFloats(view, "part")], [6, 7, 8, 9, 10, 11]);
  const all = [100, 101, 102, 103, 104, 105, ...Array(12).keys()];
  assert.deepEqual([...await readFloats(view, "joined")], all);
  assert.deepEqual([...await readFloats(view, "flat")], all.slice(0, 6));
  for (const [start, end] of [[0, 4], [20, 28], [24, 72], [3, 71], [72, 72]]) {
    const bytes = await view.read("joined", start, end, new Uint8Array(100));
    assert.deepEqual(bytes, new Uint8Array(Float32Array.from(all).buffer).subarray(start, end));
  }
  await assert.rejects(view.read("joined", 0, 73), WeightsError);
  assert.throws(() => view.info("a"), WeightsError);
});

Deno.test("partOfTensor() and joinedTensors() refuse what does not fit", async () => {
  using source = await inMemory({ a: counting([3, 3]), b: counting([2, 2]) });
  assert.throws(() => partOfTensor(source, "a", 0, 2), /Cannot split a \[3, 3\].*2 equal parts/);
  assert.throws(() => joinedTensors(source, ["a", "b"]), /Cannot join a and b.*F32 \[3, 3\], F32 \[2, 2\]/);
});

Deno.test("withoutPrefix() takes what stands before the network's names, and leaves other networks out", async () => {
  const names = ["model_ema.norm.weight", "model.norm.weight", "model.proj.bias", "other.proj.bias"];
  assert.equal(prefixBefore(names, ["norm.weight"]), "model.");
  assert.equal(prefixBefore(["norm.weight", ...names], ["norm.weight"]), "");
  assert.equal(prefixBefore(["abnorm.weight"], ["norm.weight"]), undefined);
  using source = await inMemory(Object.fromEntries(names.map((name, i) => [name, counting([1], i)])));
  using bare = withoutPrefix(source, ["norm.weight"]);
  assert.deepEqual(bare.names(), ["norm.weight", "proj.bias"]);
  assert.deepEqual([...await readFloats(bare, "proj.bias")], [2]);
  assert.equal(withoutPrefix(source, ["elsewhere"]), source);
});
