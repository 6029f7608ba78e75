import assert from "node:assert/strict";
import { formatBytes, parseBytes } from "../../src/io/byte_words.ts";

Deno.test("formatBytes() chooses the unit", () => {
  const cases: [number, string][] = [[0, "0 B"], [999, "999 B"], [1500, "1.5 kB"], [2.34e9, "2.3 GB"], [
    5e15,
    "5000.0 TB",
  ]];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
});

Deno.test("parseBytes() reads decimal and binary units, and refuses other words", () => {
  const cases: [string, number | undefined][] = [
    ["4GB", 4e9],
    ["4 GiB", 2 ** 32],
    [" 1.5gb ", 1.5e9],
    ["512MiB", 2 ** 29],
    ["512MB", 512e6],
    ["1kb", 1000],
    ["1KiB", 1024],
    ["2TB", 2e12],
    ["4000000000", 4e9],
    ["7b", 7],
  ];
  for (const [words, bytes] of cases) assert.equal(parseBytes(words), bytes, words);
  for (const words of ["", "GB", "-1GB", "0", "0.2", "4XB", "4GBs", "1e9", "4,5GB", "9999999TB"]) {
    assert.equal(parseBytes(words), undefined, words);
  }
});
