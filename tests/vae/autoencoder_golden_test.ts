// The autoencoder against PyTorch's numbers: decoded whole and in tiles, and encoded.

import assert from "node:assert/strict";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { openBytes } from "../../src/io/byte_source.ts";
import { toChannelsFirst } from "../../src/ops/channels.ts";
import { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { device, run } from "../_device.ts";
import { assertClose } from "../_reference.ts";
import { assertVerifies, floats, FolderCopy, golden } from "../verify/_folders.ts";

const OUTPUTS = ["out.decoded", "out.decoded_tiled", "out.logvar", "out.mean"];

Deno.test("AutoencoderKL matches PyTorch with f32 weights: decode(), whole and in tiles, and encode()", async () => {
  const { component, outputs } = await assertVerifies(golden("vae"), { device });
  assert.deepEqual([component, outputs.map(({ name }) => name)], ["AutoencoderKL", OUTPUTS]);
});

// PyTorch's numbers of in.image, by the cut and the blend of diffusers' tiled_encode.
Deno.test("AutoencoderKL.encode() in tiles matches PyTorch with f32 weights", async () => {
  using vae = await AutoencoderKL.fromPretrained(golden("vae"), { device, dtype: "f32" });
  const open = async (name: string) => await openSafetensors(await openBytes(`${golden("vae")}/${name}`));
  using io = await open("io.safetensors");
  using tiled = await open("encode_tiled.safetensors");
  const image = await readFloats(io, "in.image"), { shape } = io.info("in.image");
  const tiling = { tileSampleMinSize: 32, tileLatentMinSize: 4, tileOverlapFactor: 0.25 };
  const encode = (options: Parameters<AutoencoderKL["encode"]>[2]) =>
    run((rec) => toChannelsFirst(rec, vae.encode(rec, rec.upload(image, shape), options)));
  const expected = await readFloats(tiled, "out.moments_tiled");
  assertClose(await encode({ tiling }), expected, 1e-5, "moments");
  assertClose(await encode({ tiling, slicing: true }), expected, 1e-5, "moments in slices");
});

Deno.test("AutoencoderKL matches PyTorch within 1e-2 with f16 weights", async () => {
  await assertVerifies(golden("vae"), { device, dtype: "f16" });
});

Deno.test("verifyFolder() fails the outputs of an autoencoder whose encoder was changed, and no other", async () => {
  using copy = await FolderCopy.of(golden("vae"));
  await copy.change("diffusion_pytorch_model.safetensors", (tensors) => {
    floats(tensors["encoder.conv_in.weight"])[4] += 1;
  });
  await copy.change("io.safetensors", (tensors) => {
    delete tensors["out.decoded_tiled"];
    tensors["out.kl"] = tensors["out.mean"];
  });
  const { ok, outputs } = await verifyFolder(copy.path, { device });
  assert.equal(ok, false);
  assert.deepEqual(outputs.map((row) => [row.name, row.ok]), [
    ["out.decoded", true],
    ["out.kl", false],
    ["out.logvar", false],
    ["out.mean", false],
  ]);
});

Deno.test("verifyFolder() refuses tile settings that are none", async () => {
  using copy = await FolderCopy.of(golden("vae"));
  const config = await readJson(joinPath(copy.path, "config.json"));
  assert.equal((config as { sample_size: number }).sample_size, 64);
  await copy.change("io.safetensors", (tensors) => {
    for (const name of OUTPUTS) if (name !== "out.decoded_tiled") delete tensors[name];
  }, { tile: '{"tile_sample_min_size": 32}' });
  await assert.rejects(verifyFolder(copy.path, { device }), /tile_latent_min_size must be a number above 0/);
});
