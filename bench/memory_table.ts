// The README's table of GPU memory by size of picture, as Markdown on stdout: deno run -A bench/memory_table.ts [--paint SIDE].
// The networks have the real extents and random weights, the device WebGPU's default limits. Their work is recorded, not run: that
// takes all the memory and no time. With --paint, narrow networks paint a whole picture of that many pixels a side.

import { parseArgs } from "node:util";
import { realModel } from "../src/checkpoints/real_models.ts";
import { RandomWeights } from "../src/checkpoints/random_weights.ts";
import { Device } from "../src/gpu/device.ts";
import { AutoencoderKL } from "../src/vae/autoencoder.ts";
import { parseAutoencoderConfig } from "../src/vae/config.ts";
import { decoding, DEFAULT_LIMITS, paintNarrow, randomTransformer, recordedPeak, step } from "./large_pictures.ts";

const XL = { heads: 16, headWidth: 72, blocks: 28, captionChannels: 4096 };
const CAPTION_TOKENS = 300;
const SIDES = [512, 1024, 2048, 4096];

const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

async function stepPeaks(device: Device, compressed: boolean): Promise<number[]> {
  using model = await randomTransformer(device, { ...XL, compressed });
  return SIDES.map((side) => recordedPeak(device, step(model, side / 16, CAPTION_TOKENS)));
}

async function decodingPeaks(device: Device): Promise<number[]> {
  const { json, tensors, name } = realModel("sdxl-vae");
  using source = new RandomWeights(name, tensors, 1, "F16");
  using vae = await AutoencoderKL.fromWeights(device, parseAutoencoderConfig(json), source);
  return SIDES.map((side) => recordedPeak(device, decoding(vae, side)));
}

async function printTable(): Promise<void> {
  using device = await Device.open({ limits: DEFAULT_LIMITS });
  const columns = [await stepPeaks(device, false), await stepPeaks(device, true), await decodingPeaks(device)];
  console.log("| picture | tokens | a guided step | with key-value compression | decoding |");
  console.log("| --- | --- | --- | --- | --- |");
  SIDES.forEach((side, i) => {
    const cells = [`${side} x ${side}`, (side / 16) ** 2, ...columns.map((peaks) => mebibytes(peaks[i]))];
    console.log(`| ${cells.join(" | ")} |`);
  });
}

async function paint(side: number): Promise<void> {
  for (const compressed of [false, true]) {
    const { milliseconds, peak, weights, image } = await paintNarrow(side, { compressed });
    const path = await Deno.makeTempFile({ prefix: `pixart-${side}-`, suffix: ".png" });
    await image.save(path, { overwrite: true });
    const kind = compressed ? "with key-value compression" : "plain";
    console.log(
      `${side} x ${side} ${kind}: ${mebibytes(peak)} beside ${mebibytes(weights)} of weights, ` +
        `${(milliseconds / 1000).toFixed(1)} s, ${path}`,
    );
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { paint: { type: "string" } } });
  if (values.paint) await paint(Number(values.paint));
  else await printTable();
}
