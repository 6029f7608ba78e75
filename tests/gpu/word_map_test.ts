// The map that finds bind groups and parameters by words.

import assert from "node:assert/strict";
import { WordMap } from "../../src/gpu/word_map.ts";

Deno.test("WordMap.get() finds what was added under equal words, and nothing under others", () => {
  const map = new WordMap<string>();
  const words = new Int32Array(8);
  const rows: number[][] = [];
  // So many keys that hashes of 32 bits collide, of several lengths, each the start of longer ones.
  for (let i = 0; i < 150_000; i++) rows.push([i, -i], [i, -i, i & 7]);
  for (const row of rows) {
    words.set(row);
    assert.equal(map.get(words, row.length), undefined);
    map.add(words, row.length, row.join());
  }
  assert.equal(map.size, rows.length);
  for (const row of rows) {
    words.set(row);
    assert.equal(map.get(words, row.length), row.join());
  }
  map.clear();
  assert.equal(map.size, 0);
  assert.equal(map.get(words, 2), undefined);
});
