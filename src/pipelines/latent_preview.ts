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

const GRID = 32; // latent pixels a side of what other VAEs are shown
const BLOCK = 4; // of one colour
const CONTRAST = 0.8;

/** What was found of each VAE. */
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

/** Shows a VAE blocks of random colours, and finds the factors by which its latents come nearest to them in least squares. */
async function fitFactors(device: Device, vae: AutoencoderKL): Promise<Factors> {
  const { latentChannels, scalingFactor, shiftFactor } = vae.config;
  const blocks = GRID / BLOCK, pixels = GRID * vae.scaleFactor;
  const colours = new Generator(0).randn([3, blocks, blocks]).map((value) =>
    Math.min(Math.max(CONTRAST * value, -1), 1)
  );
  const colourAt = (c: number, x: number, y: number, side: number) =>
    colours[(c * blocks + Math.floor(y * blocks / side)) * blocks + Math.floor(x * blocks / side)];
  const image = Float32Array.from({ length: 3 * pixels * pixels }, (_, i) => {
    const place = i % (pixels * pixels);
    return colourAt(Math.floor(i / pixels / pixels), place % pixels, Math.floor(place / pixels), pixels);
  });
  await using _held = await vae.use();
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const encoded = vae.encode(rec, rec.upload(image, [1, 3, pixels, pixels]));
  rec.submit();
  const moments = await read(device, encoded);
  const places = Array.from({ length: GRID * GRID }, (_, place) => place);
  const rows = places.map((place) => {
    const means = moments.subarray(place * 2 * latentChannels, (2 * place + 1) * latentChannels);
    return [...means.map((mean) => (mean - shiftFactor) * scalingFactor), 1];
  });
  return leastSquares(
    rows,
    places.map((place) => {
      return [0, 1, 2].map((c) => colourAt(c, place % GRID, Math.floor(place / GRID), GRID));
    }),
  );
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
