// A ControlNet of the default model, whose numbers are the same in every run. Out: its file.

import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { numbers } from "../_reference.ts";

/** How many blocks it copies. */
export const COPIES = 3;

/** The copies of the checkpoint's first blocks with projections that are not zero. */
async function controlTensors(): Promise<Record<string, TensorData>> {
  using source = await openSafetensors(`${DEFAULT_MODEL}/transformer/diffusion_pytorch_model.safetensors`);
  const tensors: Record<string, TensorData> = {};
  for (const name of source.names()) {
    const [, block, rest] = /^transformer_blocks\.([0-2])\.(.*)$/.exec(name) ?? [];
    if (block === undefined) continue;
    const { shape } = source.info(name);
    tensors[`controlnet_blocks.${block}.transformer_block.${rest}`] = {
      dtype: "F32",
      shape,
      data: await readFloats(source, name),
    };
  }
  const width = 192;
  const projection = (name: string, seed: number) => {
    const weight = numbers(width * width, seed, 0.02), bias = numbers(width, seed + 1, 0.02);
    tensors[`controlnet_blocks.${name}.weight`] = { dtype: "F32", shape: [width, width], data: weight };
    tensors[`controlnet_blocks.${name}.bias`] = { dtype: "F32", shape: [width], data: bias };
  };
  projection("0.before_proj", 11);
  for (let i = 0; i < COPIES; i++) projection(`${i}.after_proj`, 21 + 2 * i);
  return tensors;
}

/** Writes it into a folder, and tells its path. */
export async function writeControlNet(folder: string): Promise<string> {
  const file = `${folder}/controlnet.safetensors`;
  await Deno.writeFile(file, encodeSafetensors(await controlTensors()));
  return file;
}
