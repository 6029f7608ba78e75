import assert from "node:assert/strict";
import { formatTable } from "../../src/cli/table.ts";

Deno.test("formatTable() sets columns under each other", () => {
  const rows = [["decoded", "1.0e-5", ""], ["mean", "0", "broken"]];
  assert.equal(
    formatTable(["output", "error", ""], rows, [1]),
    "  output    error\n  decoded  1.0e-5\n  mean          0  broken",
  );
  assert.equal(formatTable(["", ""], [["a", "b"], ["cc", ""]]), "  a   b\n  cc");
});
