import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { add } from "../../src/ops/add.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("add() repeats its second operand along the outer axes", async () => {
  for (const [rows, n] of [[4, 64], [3, 7]]) {
    const x = numbers(rows * n, 1), b = numbers(n, 2);
    const actual = await run((rec) => add(rec, rec.upload(x, [rows, n]), rec.upload(b, [n])));
    assertClose(actual, x.map((value, i) => value + b[i % n]), 1e-6);
  }
});

Deno.test("add() takes a run of elements of its second operand", async () => {
  const x = numbers(30, 1), b = numbers(20, 2);
  const range = { start: 7, count: 5 };
  const actual = await run((rec) => add(rec, rec.upload(x, [6, 5]), rec.upload(b, [20]), range));
  assertClose(actual, x.map((value, i) => value + b[7 + i % 5]), 1e-6);
});

Deno.test("add() refuses an operand that does not repeat evenly", async () => {
  await assert.rejects(
    run((rec) => add(rec, rec.upload(numbers(6), [2, 3]), rec.upload(numbers(4), [4]))),
    (error) => error instanceof ShapeError && error.message.includes("f32[4]"),
  );
  assert.ok(device.ledger.bytes >= 0);
});
