// A copy of the embedded model in which numbers of one component are not finite.

import { joinPath } from "../../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { golden } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const MODEL = golden("../../weights/emoji-64");
const FILES = {
  transformer: "diffusion_pytorch_model.safetensors",
  text_encoder: "model.safetensors",
  vae: "diffusion_pytorch_model.safetensors",
};

/**
 * Copies the model.
 *
 * @param bad Names of tensors with the number that their fifth becomes.
 */
export async function spoiledModel(
  component: keyof typeof FILES,
  bad: Readonly<Record<string, number>>,
): Promise<ReturnType<typeof temporaryFolder>> {
  const folder = temporaryFolder();
  for await (const { name } of Deno.readDir(MODEL)) {
    if (name !== component) await Deno.symlink(joinPath(MODEL, name), joinPath(folder.path, name));
  }
  const [from, to] = [joinPath(MODEL, component), joinPath(folder.path, component)];
  await Deno.mkdir(to);
  await Deno.copyFile(joinPath(from, "config.json"), joinPath(to, "config.json"));
  using source = await openSafetensors(joinPath(from, FILES[component]));
  const tensors: Record<string, TensorData> = {};
  for (const name of source.names()) {
    const data = (await readFloats(source, name)).slice();
    if (Object.hasOwn(bad, name)) data[4] = bad[name];
    tensors[name] = { dtype: "F32", shape: source.info(name).shape, data };
  }
  await Deno.writeFile(joinPath(to, FILES[component]), encodeSafetensors(tensors));
  return folder;
}
