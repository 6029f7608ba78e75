import assert from "node:assert/strict";
import { formatSeconds } from "../../src/cli/progress.ts";

Deno.test("formatSeconds() uses the two largest units", () => {
  assert.equal(formatSeconds(0.2), "0 s");
  assert.equal(formatSeconds(59.4), "59 s");
  assert.equal(formatSeconds(59.7), "1 min 0 s");
  assert.equal(formatSeconds(200), "3 min 20 s");
  assert.equal(formatSeconds(3599.9), "1 h 0 min");
  assert.equal(formatSeconds(7500), "2 h 5 min");
});
