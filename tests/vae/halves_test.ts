// The autoencoder where group norms hand halves to tensor cores: its numbers against those of f32 weights.

import { autoencoderTensors } from "../../src/checkpoints/random_tensors.ts";
import { RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { parseAutoencoderConfig } from "../../src/vae/config.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("AutoencoderKL has the numbers of f32 weights within 1e-2 with f16 weights of as many channels as tensor cores want", async () => {
  const config = parseAutoencoderConfig({ block_out_channels: [64, 128], layers_per_block: 1, norm_num_groups: 8 });
  const open = (dtype: "f32" | "f16") =>
    AutoencoderKL.fromWeights(device, config, new RandomWeights("small", autoencoderTensors(config), 5, "F16"), {
      dtype,
    });
  using exact = await open("f32");
  using halves = await open("f16");
  // Odd sides, and two samples of which the second begins in the middle of a tile.
  const latents = numbers(2 * 4 * 7 * 9, 1), images = numbers(2 * 3 * 18 * 22, 2);
  const decode = (vae: AutoencoderKL) => run((rec) => vae.decode(rec, rec.upload(latents, [2, 4, 7, 9])));
  const encode = (vae: AutoencoderKL) => run((rec) => vae.encode(rec, rec.upload(images, [2, 3, 18, 22])));
  assertClose(await decode(halves), await decode(exact), 1e-2, "decoded");
  assertClose(await encode(halves), await encode(exact), 1e-2, "encoded");
});
