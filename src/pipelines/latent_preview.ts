// What latents look like, roughly and at once: a linear mix of channels in place of the VAE's decoder. In: latents on the way. Out:
// pictures of one pixel a latent pixel.

import type { Device } from "../gpu/device.ts";
import { read, readAll } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Image } from "../io/image.ts";
import { projectLatents } from "../ops/project_latents.ts";
import { toPixels } from "../ops/to_pixels.ts";
import { Generator } from "../random/generator.ts";
import type { AutoencoderKL } from "../vae/autoencoder.ts";
import { imagesOf } from "./decoding.ts";

/** [C + 1, 3] red, green and blue, in -1..1, of each channel of scaled latents, and of none. */
type Factors = readonly (readonly number[])[];

/** Of the VAEs with four channels that PixArt was released with, by their scaling factor. */
const KNOWN: Readonly<Record<number, Factors>> = {
  // Stable Diffusion's, fitted by eye in https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204.
  0.18215: [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473], [0, 0, 0]],
  // SDXL's, which diffusers' guide to callbacks gives for bytes: 60, -60, 25 and -70 with 150 for red, and so on.
  0.13025: [[60, 60, 60], [-60, -5, 10], [25, 15, -5], [-70, -50, -35]].map((row) => row.map((byte) => byte / 127.5))
    .concat([[150, 140, 130].map((byte) => byte / 127.5 - 1)]),
};
const KNOWN_CHANNELS = 4;

const GRID = 32; // latent pixels a side of what other VAEs are asked for
const BLOCK = 4; // of one colour, so that the middle is not blurred by the neighbours

/** What each VAE was found to paint. */
const found = new WeakMap<AutoencoderKL, Promise<Factors>>();

/** The factors of a VAE. */
function factorsOf(device: Device, vae: AutoencoderKL): Promise<Factors> {
  const { latentChannels, scalingFactor } = vae.config;
  const known = latentChannels === KNOWN_CHANNELS ? KNOWN[scalingFactor] : undefined;
  let factors = found.get(vae);
  if (!factors) {
    factors = known ? Promise.resolve(known) : fitFactors(device, vae);
    found.set(vae, factors);
    // A VAE that could not be asked may be asked again.
    factors.catch(() => found.delete(vae));
  }
  return factors;
}

/** Asks a VAE what blocks of random latents look like, and finds the factors that come nearest in least squares. */
async function fitFactors(device: Device, vae: AutoencoderKL): Promise<Factors> {
  const { latentChannels: channels, scalingFactor, shiftFactor } = vae.config;
  const side = GRID / BLOCK, scale = vae.scaleFactor, wide = GRID * scale;
  const blocks = new Generator(0).randn([channels, side, side]);
  const latents = Float32Array.from({ length: channels * GRID * GRID }, (_, i) => {
    const c = Math.floor(i / GRID / GRID), y = Math.floor(i / GRID) % GRID, x = i % GRID;
    return blocks[(c * side + Math.floor(y / BLOCK)) * side + Math.floor(x / BLOCK)];
  });
  await using _held = await vae.use();
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const cut = vae.cutFor(1, wide, wide);
  const decoded = vae.decode(rec, rec.upload(latents, [1, channels, GRID, GRID]), {
    scale: 1 / scalingFactor,
    shift: shiftFactor,
    ...cut,
  });
  rec.submit();
  const image = await read(device, decoded);
  const rows: number[][] = [], colours: number[][] = [];
  for (let block = 0; block < side * side; block++) {
    const top = Math.floor(block / side) * BLOCK * scale, left = block % side * BLOCK * scale;
    rows.push([...Array.from({ length: channels }, (_, c) => blocks[c * side * side + block]), 1]);
    const sum = [0, 0, 0], from = scale, to = (BLOCK - 1) * scale;
    for (let y = top + from; y < top + to; y++) {
      for (let x = left + from; x < left + to; x++) {
        for (let k = 0; k < 3; k++) sum[k] += Math.min(Math.max(image[(y * wide + x) * 3 + k], -1), 1);
      }
    }
    colours.push(sum.map((value) => value / (to - from) ** 2));
  }
  return leastSquares(rows, colours);
}

/**
 * Solves rows * x = values in least squares, by the normal equations.
 *
 * @param rows [M, N]
 * @param values [M, K]
 * @returns [N, K]
 */
export function leastSquares(rows: readonly (readonly number[])[], values: readonly (readonly number[])[]): number[][] {
  const width = rows[0].length;
  const dot = (a: (i: number) => number, b: (i: number) => number) => rows.reduce((sum, _, i) => sum + a(i) * b(i), 0);
  const system = Array.from({ length: width }, (_, n) => [
    ...Array.from({ length: width }, (_, m) => dot((i) => rows[i][n], (i) => rows[i][m])),
    ...values[0].map((_, k) => dot((i) => rows[i][n], (i) => values[i][k])),
  ]);
  // Gauss and Jordan; the matrix is positive definite, so that no pivot is looked for.
  for (let n = 0; n < width; n++) {
    const pivot = system[n].map((value) => value / system[n][n]);
    system.forEach((row, m) => {
      const factor = row[n];
      system[m] = m === n ? pivot : row.map((value, j) => value - factor * pivot[j]);
    });
  }
  return system.map((row) => row.slice(width));
}

/**
 * Makes small pictures of latents.
 *
 * @param latents [B, C, h, w], scaled as the transformer has them.
 * @param scale What makes their noise and clean part together as large as clean latents are: a step's input scale.
 * @returns B pictures of w by h pixels.
 */
export async function previewLatents(
  device: Device,
  vae: AutoencoderKL,
  latents: Tensor,
  scale = 1,
): Promise<Image[]> {
  using scope = device.arena.scope();
  // Taken at once, since the run may go on while the VAE is asked.
  const taken = scope.tensor(latents.shape);
  const copying = new Recorder(device);
  copying.copy(latents, taken);
  copying.submit();
  const known = await factorsOf(device, vae);
  const rec = new Recorder(device).within(scope);
  const factors = rec.upload(Float32Array.from(known.flat()), [known.length, 3]);
  const pixels = toPixels(rec, projectLatents(rec, taken, factors, scale));
  rec.submit();
  const [, height, width] = pixels.shape;
  const [packed] = await readAll(device, [pixels]);
  return imagesOf(packed as Uint32Array, { height, width });
}
