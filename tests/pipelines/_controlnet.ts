// A ControlNet of the default model and an edge detector, whose numbers are the same in every run. Out: their tensors or files.

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

/** An edge detector with the layers of the released one, whose widths of 64 to 512 are 4 to 12. */
export function narrowHed(): Record<string, TensorData> {
  const all: Record<string, TensorData> = {
    norm: { dtype: "F32", shape: [1, 3, 1, 1], data: Float32Array.of(120, 110, 100) },
  };
  let channels = 3;
  const conv = (name: string, width: number, kernel: number, seed: number, scale: number) => {
    const count = width * channels * kernel ** 2;
    all[`${name}.weight`] = {
      dtype: "F32",
      shape: [width, channels, kernel, kernel],
      data: numbers(count, seed, scale),
    };
    all[`${name}.bias`] = { dtype: "F32", shape: [width], data: numbers(width, seed + 500, scale) };
  };
  [[4, 2], [8, 2], [8, 3], [12, 3], [12, 3]].forEach(([width, layers], scale) => {
    const seed = 100 * (scale + 1);
    for (let i = 0; i < layers; i++, channels = width) {
      conv(`block${scale + 1}.convs.${i}`, width, 3, seed + i, 1.7 / 3 / Math.sqrt(channels));
    }
    conv(`block${scale + 1}.projection`, 1, 1, seed + 50, 0.02 * 3 ** (scale + 1));
  });
  return all;
}
