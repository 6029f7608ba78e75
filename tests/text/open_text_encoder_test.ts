import assert from "node:assert/strict";
import { joinPath } from "../../src/io/byte_source.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { asT5Gguf } from "../../src/io/t5_gguf_names.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import { openTextEncoder } from "../../src/text/open_text_encoder.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { assertSameBytes, golden, renamed } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const CONFIG = parseT5Config(JSON.parse(Deno.readTextFileSync(golden("t5/config.json"))));

Deno.test("openTextEncoder() opens pytorch_model.bin, GGUF and lone files, and guesses the config of those", async () => {
  using folder = temporaryFolder();
  using source = await openSafetensors(golden("t5/model.safetensors"));
  const inside = (name: string) => joinPath(folder.path, name);
  const tied = renamed(source, (name) => name === "shared.weight" ? "encoder.embed_tokens.weight" : name);
  await writeFileWhole(inside("pytorch_model.bin"), {}, (file) => writeTorchFile(file, tied));
  await writeFileWhole(inside("t5.gguf"), {}, (file) => writeGguf(file, asT5Gguf(source), {}));
  await Deno.writeTextFile(inside("config.json"), JSON.stringify({ model_type: "t5", num_layers: 3 }));
  for (
    const [address, expected, isGuessed] of [
      [folder.path, tied, false],
      [inside("t5.gguf"), source, false],
      [golden("t5"), source, false],
    ] as const
  ) {
    const opened = await openTextEncoder(address);
    assert.deepEqual(opened.config, CONFIG);
    assert.equal(opened.isGuessed, isGuessed);
    await assertSameBytes(opened.source, expected);
    opened.source[Symbol.dispose]();
  }
  await Deno.remove(inside("config.json"));
  const lone = await openTextEncoder(inside("t5.gguf"));
  assert.deepEqual([lone.config, lone.isGuessed], [CONFIG, true]);
  lone.source[Symbol.dispose]();
});
