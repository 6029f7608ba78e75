// The edge detector of PixArt-α's ControlNets: a narrow one with the layers of the released one, against PyTorch.

import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import { readFloats } from "../../src/io/weights.ts";
import { HEDdetector } from "../../src/pipelines/hed_detector.ts";
import { device } from "../_device.ts";
import { golden, inMemory } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { narrowHed } from "./_controlnet.ts";
import { pattern } from "./_patterns.ts";

const PICTURE = pattern(45, 38, 3);

Deno.test("HEDdetector.detect() draws the edges that PyTorch draws, from a .pth file, too", async () => {
  using folder = temporaryFolder();
  const files = [`${folder.path}/hed.safetensors`, `${folder.path}/hed.pth`];
  await Deno.writeFile(files[0], encodeSafetensors(narrowHed()));
  using source = await inMemory(narrowHed());
  await writeFileWhole(files[1], {}, (output) => writeTorchFile(output, source));
  using recorded = await openSafetensors(golden("controlnet/hed.safetensors"));
  const expected = await readFloats(recorded, "edges");
  const bytes: number[] = [];
  for (const [file, offload] of [[files[0], false], [files[1], true]] as const) {
    const hed = await HEDdetector.fromPretrained(file, { device, dtype: "f32", offload });
    const { width, height, pixels } = await hed.detect(PICTURE);
    assert.deepEqual([width, height], [45, 38]);
    const worst = Math.max(...expected.map((edge, i) => Math.abs(255 * edge - pixels[3 * i])));
    assert.ok(worst < 0.51, `off by ${worst} of 255`);
    assert.ok(pixels.every((value, i) => value === pixels[i - i % 3]), "it is grey");
    assert.equal(hed.network.isLoaded, !offload);
    hed.dispose();
    device.arena.trim();
    bytes.push(device.ledger.bytes);
  }
  assert.equal(bytes[0], bytes[1]);
});

Deno.test("HEDdetector.detect() takes pictures of any size", async () => {
  using folder = temporaryFolder();
  const file = `${folder.path}/hed.safetensors`;
  await Deno.writeFile(file, encodeSafetensors(narrowHed()));
  using hed = await HEDdetector.fromPretrained(file, { device });
  for (const [width, height] of [[3, 50], [2000, 600]]) {
    const edges = await hed.detect(pattern(width, height, 5));
    assert.deepEqual([edges.width, edges.height], [width, height]);
  }
});

Deno.test("HEDdetector.fromPretrained() refuses what is no edge detector", async () => {
  using folder = temporaryFolder();
  const file = `${folder.path}/hed.safetensors`;
  const { norm, ["block3.convs.0.weight"]: _, ...rest } = narrowHed();
  const before = device.ledger.bytes;
  for (
    const [stored, message] of [[rest, /its norm must have 3 numbers: 0/], [
      { norm, ...rest },
      /block3\.convs/,
    ]] as const
  ) {
    await Deno.writeFile(file, encodeSafetensors(stored));
    await assert.rejects(
      HEDdetector.fromPretrained(file, { device }),
      (error) => error instanceof WeightsError && message.test(error.message),
    );
  }
  assert.equal(device.ledger.bytes, before);
});
