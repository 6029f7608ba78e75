// Verification with weights in 8 and 4 bits: what passes by default, and that blocks were really used.

import assert from "node:assert/strict";
import { convertModel } from "../../src/checkpoints/convert.ts";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { assertVerifies, FolderCopy, golden } from "./_folders.ts";

const CHECKPOINT = golden("../../weights/emoji-64");

const worst = (outputs: { relativeL2: number }[]) => Math.max(...outputs.map(({ relativeL2 }) => relativeL2));

Deno.test("verifyFolder() passes a text encoder in blocks within a tolerance of their own", async () => {
  for (const [dtype, tolerance, least] of [["int8", 1e-1, 5e-3], ["int4", 8e-1, 1e-1]] as const) {
    const report = await assertVerifies(golden("t5-sharded"), { device, dtype });
    assert.equal(report.tolerance, tolerance);
    assert.ok(worst(report.outputs) > least, `${dtype}: ${worst(report.outputs)}`);
  }
});

/** A recorded picture, with a checkpoint whose two large networks are files of blocks. */
async function picture(kind?: "Q8_0" | "Q4_0"): Promise<FolderCopy> {
  const copy = await FolderCopy.of(golden("pipeline-tiny"));
  const index = joinPath(copy.path, "index.json"), checkpoint = joinPath(copy.path, "checkpoint");
  const { cases } = await readJson(index) as { cases: unknown[] };
  await Deno.writeTextFile(index, JSON.stringify({ checkpoint: "checkpoint", cases: [cases[6]] }));
  await Deno.mkdir(checkpoint);
  for await (const { name } of Deno.readDir(CHECKPOINT)) {
    const [from, to] = [joinPath(CHECKPOINT, name), joinPath(checkpoint, name)];
    if (kind === undefined || name !== "transformer" && name !== "text_encoder") await Deno.symlink(from, to);
    else {
      await Deno.mkdir(to);
      await Deno.copyFile(joinPath(from, "config.json"), joinPath(to, "config.json"));
      await convertModel(from, joinPath(to, "model.gguf"), { dtype: kind });
    }
  }
  return copy;
}

Deno.test("verifyFolder() passes whole pictures in blocks that are made while loading", async () => {
  using copy = await picture();
  for (const [dtype, tolerance, least] of [["int8", 2e-2, 1e-3], ["int4", 2e-1, 1e-2]] as const) {
    const report = await assertVerifies(copy.path, { device, dtype });
    assert.equal(report.tolerance, tolerance);
    assert.ok(worst(report.outputs) > least, `${dtype}: ${worst(report.outputs)}`);
  }
});

Deno.test("verifyFolder() passes whole pictures in blocks as files store them, and not as if they were floats", async () => {
  for (const [kind, least, most] of [["Q8_0", 2e-3, 3e-2], ["Q4_0", 3e-2, 2e-1]] as const) {
    using copy = await picture(kind);
    const report = await assertVerifies(copy.path, { device, dtype: "stored" });
    assert.equal(report.tolerance, 3e-1);
    const error = worst(report.outputs);
    assert.ok(error > least && error < most, `${kind}: ${error}`);
    assert.equal(
      (await verifyFolder(copy.path, { device, dtype: "f32" })).ok,
      false,
      "blocks are not the recorded weights",
    );
  }
});
