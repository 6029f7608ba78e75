// Many runs in one process, half of which fail, leave nothing behind; and a number that is not finite is told by the stage that made it.

import assert from "node:assert/strict";
import { endure, type Holding, type Outcome } from "../../bench/endurance.ts";
import { NumericError } from "../../src/errors.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { device } from "../_device.ts";
import { spoiledModel } from "./_spoiled_model.ts";

const RUNS = 60;
const EXPECTED: Record<Outcome["fault"], RegExp> = {
  "none": /^$/,
  "cancelled": /^cancelled$/,
  "bad input": /guidanceScale/,
  "not finite": /the latents that the run starts from/,
  "allocation refused": /^Cannot allocate .* allocation refused$/,
  "validation refused": /^Cannot do what is not valid as the GPU must accept it/,
};

Deno.test("generate() leaves nothing behind, whether it succeeds, is cancelled, or fails", async () => {
  const outcomes: Outcome[] = [], holdings: Holding[] = [];
  await endure(RUNS, 0, (outcome, held) => {
    outcomes.push(outcome);
    holdings.push(held);
  });
  for (const [run, { fault, error = "" }] of outcomes.entries()) {
    assert.match(error, EXPECTED[fault], `run ${run}: ${fault}`);
  }
  assert.equal(new Set(outcomes.map(({ fault }) => fault)).size, 6, "every fault came up");
  const [early, last] = [holdings[RUNS / 3], holdings[RUNS - 1]];
  assert.deepEqual([last.ledger, last.buffers], [early.ledger, early.buffers]);
  const grown = (last.rss - early.rss) / 2 ** 20;
  assert.ok(grown < 30, `the process grew by ${grown.toFixed(1)} MiB`);
});

const NAN_WEIGHTS = [
  ["text_encoder", "encoder.block.0.layer.1.DenseReluDense.wo.weight", /the text encoder's output/],
  ["transformer", "transformer_blocks.1.attn1.to_k.weight", /the latents after step 1 of 3/],
  ["vae", "decoder.conv_in.weight", /the decoded image/],
] as const;

Deno.test("generate() names the stage whose weights made a NaN", async () => {
  for (const [component, tensor, stage] of NAN_WEIGHTS) {
    using folder = await spoiledModel(component, { [tensor]: NaN });
    using pipe = await PixArtSigmaPipeline.fromPretrained(folder.path, { device, onWarning: () => {} });
    const run = pipe.generate("a cactus on pink", { numInferenceSteps: 3, seed: 0 });
    await assert.rejects(run, (error) => error instanceof NumericError && stage.test(error.message), component);
  }
});

Deno.test("generate() names the first step after which latents are not finite", async () => {
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
  const { scheduler } = pipe.components;
  const plan = scheduler.plan.bind(scheduler);
  for (const bad of [0, 1, 2]) {
    scheduler.plan = () => plan().map((step, i) => i === bad ? { ...step, sample: Infinity } : step);
    await assert.rejects(
      pipe.generate("a cactus on pink", { numInferenceSteps: 3, seed: 0 }),
      (error) => error instanceof NumericError && error.message.includes(`the latents after step ${bad + 1} of 3`),
      `step ${bad + 1}`,
    );
  }
});
