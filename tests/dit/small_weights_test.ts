// The transformer with its weights in small integers: made while loading, or as `convert` stored them, and LoRAs on top of both.

import assert from "node:assert/strict";
import { convertModel } from "../../src/checkpoints/convert.ts";
import { openModel } from "../../src/checkpoints/open_model.ts";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import type { Device } from "../../src/gpu/device.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { castWeights } from "../../src/io/cast_weights.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { asOriginal } from "../../src/io/original_names.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import type { TensorInfo } from "../../src/io/weights.ts";
import type { WeightDType } from "../../src/ops/weight_kernels.ts";
import { Reference } from "../../src/verify/reference.ts";
import { readInputs, runTransformer } from "../../src/verify/verify_transformer.ts";
import { device } from "../_device.ts";
import { relativeL2 } from "../_reference.ts";
import { golden } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { plainDevice } from "../ops/_portable.ts";
import { assertVerifies } from "../verify/_folders.ts";

const FOLDER = golden("dit-sigma"), LORA = golden("lora/peft-dora");
using io = await Reference.open(FOLDER);
const inputs = await readInputs(io);

const open = (from: string, dtype?: WeightDType, on: Device = device) =>
  PixArtTransformer2DModel.fromPretrained(from, { device: on, dtype });
const run = async (model: PixArtTransformer2DModel) => (await runTransformer(model.device, model, io, inputs)).data;

const exact = await (async () => {
  using model = await open(FOLDER, "f32");
  return await run(model);
})();

Deno.test("PixArtTransformer2DModel matches PyTorch within what blocks of 8 and 4 bits can, made while loading", async () => {
  for (const on of [device, plainDevice]) {
    for (const name of ["dit-sigma", "dit-alpha-micro"]) {
      for (const [dtype, least, most] of [["int8", 1e-3, 1e-2], ["int4", 2e-2, 1e-1]] as const) {
        const { outputs: [{ relativeL2: error }] } = await assertVerifies(golden(name), { device: on, dtype });
        assert.ok(error > least && error < most, `${name} ${dtype}: ${error}`);
      }
    }
  }
});

/** Files in 8 and in 4 bits, under the names of diffusers and of the original, whose weight of queries, keys and values is one. */
async function filesInBlocks(folder: string): Promise<[file: string, dtype: WeightDType][]> {
  const files: [string, WeightDType][] = [];
  for (const [kind, dtype] of [["Q8_0", "int8"], ["Q4_0", "int4"]] as const) {
    const ours = joinPath(folder, `${kind}.gguf`), original = joinPath(folder, `original-${kind}.gguf`);
    await convertModel(FOLDER, ours, { dtype: kind });
    using model = await openModel(FOLDER);
    const isBlock = ({ name, shape }: TensorInfo) => name.startsWith("transformer_blocks.") && shape.length === 2;
    const isMatrix = (info: TensorInfo) => isBlock(info) && !info.name.includes("scale_shift_table");
    const source = asOriginal(castWeights(model.source, (info) => isMatrix(info) ? kind : info.dtype));
    const config = JSON.stringify(model.json);
    await writeFileWhole(original, {}, (file) => writeGguf(file, source, { "general.architecture": "pixart", config }));
    files.push([ours, dtype], [original, dtype]);
  }
  return files;
}

Deno.test("PixArtTransformer2DModel keeps the blocks of files that convert wrote, in both namings", async () => {
  using folder = temporaryFolder();
  for (const [file, dtype] of await filesInBlocks(folder.path)) {
    using wide = await open(file, "f32");
    const expected = await run(wide);
    assert.ok(relativeL2(expected, exact) > 1e-3, "the file is not that of blocks");
    for (const on of [device, plainDevice]) {
      using stored = await open(file, undefined, on);
      assert.equal(stored.dtype, dtype);
      // Blocks are kept exactly; what is not in the network's blocks is rounded to halves, and on a GPU activations are.
      const error = relativeL2(await run(stored), expected);
      assert.ok(error < (on.software ? 5e-4 : 3e-3), `${file}: ${error}`);
    }
  }
});

Deno.test("PixArtTransformer2DModel.loadLora() changes weights in blocks, fuses, and gives them back as they were", async () => {
  using folder = temporaryFolder();
  const [[eight], , [four]] = await filesInBlocks(folder.path);
  const merged = joinPath(folder.path, "merged");
  for (
    const [from, dtype, largest] of [
      [FOLDER, "int8", 2e-2],
      [FOLDER, "int4", 1e-1],
      [eight, undefined, 3e-2],
      [four, undefined, 3e-1],
    ] as const
  ) {
    const what = `${from} ${dtype}`;
    using model = await open(from, dtype);
    const before = await run(model);
    const { bytes } = device.ledger;
    const name = await model.loadLora(LORA);
    const worn = await run(model);
    assert.ok(relativeL2(worn, before) > 5e-2, `${what}: the LoRA does too little`);

    // The same as what the LoRA makes of the checkpoint, in blocks; a number next to the middle of two steps may go either way.
    await convertModel(from, merged, { dtype: "F32", loras: [{ file: LORA, scale: 1 }], overwrite: true });
    using reference = await open(merged, dtype ?? (from === eight ? "int8" : "int4"));
    const error = relativeL2(worn, await run(reference));
    assert.ok(error < (model.dtype === "int8" ? 1e-3 : 2e-2), `${what}: ${error} from the merged weights`);
    using floats = await open(merged, "f32");
    const loss = relativeL2(worn, await run(floats));
    assert.ok(loss > 1e-3 && loss < largest, `${what}: ${loss} from the merged weights in f32`);
    reference.dispose();
    floats.dispose();

    await model.fuseLora();
    assert.deepEqual(await run(model), worn, what);
    await model.unfuseLora();
    await model.setAdapters(name, 0);
    await model.unloadLora();
    assert.deepEqual(await run(model), before, what);
    device.arena.trim();
    assert.ok(device.ledger.bytes <= bytes, `${what}: ${device.ledger.bytes} bytes, ${bytes} before`);
  }
});
