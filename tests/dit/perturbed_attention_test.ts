// Perturbed attention in the transformer, against the definition in plain loops.

import assert from "node:assert/strict";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { perturbedAttention } from "../../src/layers/perturbed_attention.ts";
import { device } from "../_device.ts";
import { assertClose, numbers, relativeL2 } from "../_reference.ts";
import { golden } from "../_weights.ts";
import { naiveTransformer } from "./_naive_transformer.ts";
import { base, baseWeights, expected, predict } from "./_small_network.ts";

const weights = await baseWeights();

Deno.test("naiveTransformer() is what PyTorch computed", async () => {
  using io = await openSafetensors(golden("dit-sigma/io.safetensors"));
  const input = async (name: string) => await readFloats(io, `in.${name}`);
  const [latents, captions, masks, times] = [
    await input("hidden_states"),
    await input("encoder_hidden_states"),
    await input("encoder_attention_mask"),
    await input("timestep"),
  ];
  const [batch, , height, width] = io.info("in.hidden_states").shape;
  const last = <T extends Float32Array>(all: T) => all.subarray(all.length - all.length / batch);
  const prediction = naiveTransformer(weights, base.config, {
    latents: last(latents),
    height,
    width,
    caption: last(captions),
    mask: last(masks),
    timestep: times[batch - 1],
  });
  const recorded = last(await readFloats(io, "out.sample"));
  assert.ok(relativeL2(prediction, recorded) < 1e-5, `${relativeL2(prediction, recorded)}`);
});

Deno.test("PixArtTransformer2DModel.predict() perturbs the last caption's samples in the blocks that are named", async () => {
  for (const blocks of [[1], [0, 2]]) {
    const perturbed = new Set(blocks);
    const answers = await predict(2, [7, 8, 8], { perturbedBlocks: perturbed });
    const size = answers.length / 6;
    [7, 8, 8].forEach((caption, group) => {
      for (const sample of [0, 1]) {
        const at = (group * 2 + sample) * size;
        const wanted = expected(weights, sample, caption, group === 2 ? { perturbed } : {});
        assertClose(
          answers.subarray(at, at + size),
          wanted,
          2e-5,
          `blocks ${blocks}, group ${group}, sample ${sample}`,
        );
      }
    });
  }
});

Deno.test("PixArtTransformer2DModel.predict() leaves the other captions' samples bit for bit as they are", async () => {
  const plain = await predict(2, [7, 8]);
  const answers = await predict(2, [7, 8, 8], { perturbedBlocks: new Set([1]) });
  assert.deepEqual(answers.subarray(0, plain.length), plain);
  assert.ok(relativeL2(answers.subarray(plain.length), plain.subarray(plain.length / 2)) > 1e-3);
});

Deno.test("PixArtTransformer2DModel.predict() keeps the values of all tokens where keys are compressed", async () => {
  using source = await openSafetensors(golden("dit-sigma/diffusion_pytorch_model.safetensors"));
  const kvCompression = { sampling: "uniform", scaleFactor: 2, layers: [1] } as const;
  const config = { ...base.config, kvCompression };
  using model = await PixArtTransformer2DModel.fromWeights(device, config, source, { dtype: "f32" });
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const latents = rec.upload(numbers(4 * 8 * 8, 3), [1, 4, 8, 8]);
  const embeds = rec.upload(numbers(2 * 3 * 32, 4), [2, 3, 32]);
  const all = new Set([0, 1, 2]);
  const caption = model.encodeCaption(rec, embeds), times = model.encodeTimes(rec, [100]);
  const answers = model.predict(rec, latents, caption, times, { row: 0, perturbedBlocks: all });
  rec.submit();
  const [actual] = await readAll(device, [answers]);
  // Nobody attends, so that the keys that are left out do not matter.
  const wanted = naiveTransformer(weights, base.config, {
    latents: numbers(4 * 8 * 8, 3),
    height: 8,
    width: 8,
    caption: numbers(2 * 3 * 32, 4).subarray(3 * 32),
    mask: [1, 1, 1],
    timestep: 100,
    perturbed: all,
  });
  assertClose(actual.subarray(actual.length / 2) as Float32Array, wanted, 2e-5);
});

Deno.test("perturbedAttention() puts values behind what attends, wherever they stand in a row", async () => {
  const extent = { batch: 3, tokens: 5, width: 8 };
  const rows = numbers(3 * 5 * 24, 9);
  for (const [stride, offset] of [[24, 16], [24, 0], [8, 0]]) {
    for (const perturbed of [0, 1, 2, 3]) {
      const rec = new Recorder(device);
      using _scope = rec.scope();
      const values = { tensor: rec.upload(rows.slice(0, 15 * stride), [3, 5, stride]), stride, offset };
      const y = perturbedAttention(rec, values, { ...extent, perturbed }, (samples) => {
        assert.equal(samples, 3 - perturbed);
        return rec.upload(new Float32Array(samples * 40).fill(7), [samples, 5, 8]);
      });
      rec.submit();
      const [actual] = await readAll(device, [y]);
      const wanted = Array.from(
        { length: 120 },
        (_, i) => i < (3 - perturbed) * 40 ? 7 : rows[Math.floor(i / 8) * stride + offset + i % 8],
      );
      assert.deepEqual([...actual], wanted, `${perturbed} samples at stride ${stride} and offset ${offset}`);
    }
  }
});
