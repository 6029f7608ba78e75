// add_positions at the tokens of PixArt XL, 1024 pixels.

import { addPositions } from "../src/ops/add_positions.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

const [side, C] = [64, 1152];
const rows = device.upload(numbers(side * C / 2), [side, C / 2]);
const x = numbers(side * side * C, 2);

benchOp({
  op: "add_positions",
  shape: `${side * side}x${C}`,
  dtype: "f32",
  name: "portable",
  baseline: true,
  bytes: 8 * x.length,
  repetitions: 4,
  record: (rec) => addPositions(rec, rec.upload(x, [1, side * side, C]), rows, rows),
  check: (result) =>
    assertClose(result.subarray(0, 576), x.subarray(0, 576).map((value, i) => value + numbers(side * C / 2)[i]), 1e-6),
});
