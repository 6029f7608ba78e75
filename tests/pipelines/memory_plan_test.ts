// Plans for networks of the real extents, by numbers alone.

import assert from "node:assert/strict";
import { realModel } from "../../src/checkpoints/real_models.ts";
import { UsageError } from "../../src/errors.ts";
import { type ChosenPlan, fitRun, type FixedChoices, planMemory } from "../../src/pipelines/memory_plan.ts";
import type { Painting, PipelineForms, WeightForm } from "../../src/pipelines/memory_stages.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { parseAutoencoderConfig } from "../../src/vae/config.ts";

const GB = 1e9;
/** f16, int8 and int4 of so many numbers. */
const formsOf = (count: number, block?: number): WeightForm[] =>
  (["f16", "int8", "int4"] as const).map((dtype, i) => {
    const bytes = (numbers: number) => Math.ceil(numbers * [2, 1.0625, 0.5625][i]);
    const streamed = block === undefined ? undefined : { block: bytes(block), rest: 16384 };
    return { dtype, asked: dtype, bytes: bytes(count), staging: 32 << 20, streamed };
  });
const SIGMA: PipelineForms = {
  textEncoder: { config: parseT5Config(realModel("t5-xxl").json), forms: formsOf(4.63e9, 0.193e9) },
  transformer: { config: realModel("sigma-1024").transformer!, forms: formsOf(0.61e9) },
  vae: { config: parseAutoencoderConfig(realModel("sdxl-vae").json), forms: formsOf(0.084e9).slice(0, 1) },
  inUse: 0,
  limits: { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 },
};
const RUN: Painting = {
  batch: 1,
  height: 1024,
  width: 1024,
  tokens: 300,
  captions: 2,
  texts: 2,
  steps: 20,
  fromImages: false,
};
const planOf = (limit: number, run: Partial<Painting> = {}, fixed?: FixedChoices) =>
  planMemory(SIGMA, { ...RUN, ...run }, limit, fixed);

/** How much is lost, the worst first. */
function lossOf({ plan, residence }: ChosenPlan): number[] {
  const tile = plan.vaeTiling ? 1 / plan.vaeTiling.tileSampleMinSize : 0;
  const { textEncoder, transformer, offload, streams } = residence;
  return [
    textEncoder + transformer,
    tile,
    Number(offload),
    Number(streams),
    1 / plan.batchSize,
    Number(plan.vaeSlicing),
  ];
}

/** The least that does, as the error of a limit of one byte says it. */
function leastOf(run: Partial<Painting> = {}): number {
  try {
    planOf(1, run);
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return Number(/\((\d+) bytes/.exec(error.message)![1]);
  }
  assert.fail("one byte is enough");
}

Deno.test("planMemory() gives nothing up where all fits, and first what costs no quality", () => {
  assert.deepEqual(planOf(64 * GB).plan.words, []);
  const streamed = planOf(10 * GB).plan;
  assert.deepEqual([streamed.offload, streamed.vaeTiling, streamed.textEncoder], [false, undefined, "f16"]);
  assert.match(
    streamed.words.join(),
    /^the text encoder's blocks read one after another, [\d.]+ MB of them at a time$/,
  );
  const four = planOf(4 * GB).plan;
  assert.deepEqual([four.textEncoder, four.transformer], ["f16", "f16"]);
  assert.ok(four.vaeTiling && four.vaeTiling.tileSampleMinSize >= 512, JSON.stringify(four.vaeTiling));
  const one = planOf(1.3 * GB).plan;
  assert.deepEqual([one.offload, one.textEncoder, one.transformer], [true, "f16", "int8"]);
});

Deno.test("planMemory() keeps to its limit, and loses no less with a smaller one", () => {
  for (const run of [{}, { batch: 4 }, { height: 512, width: 2048, fromImages: true }]) {
    const least = leastOf(run);
    let before: number[] | undefined;
    for (let limit = 40 * GB; limit > least; limit *= 0.85) {
      const chosen = planOf(limit, run);
      assert.ok(chosen.plan.peakBytes <= limit, `${chosen.plan.peakBytes} of ${limit}`);
      const loss = lossOf(chosen);
      const first = before?.findIndex((value, i) => value !== loss[i]) ?? -1;
      assert.ok(first < 0 || loss[first] > before![first], `${loss} after ${before} at ${limit}`);
      before = loss;
    }
    assert.equal(planOf(least, run).plan.peakBytes, least);
    assert.throws(() => planOf(least - 1, run), UsageError);
  }
});

Deno.test("planMemory() keeps to what is chosen already", () => {
  assert.ok(planOf(64 * GB, {}, { offload: true }).plan.offload);
  for (const limit of [8 * GB, 3 * GB, 2 * GB]) assert.ok(!planOf(limit, {}, { offload: false }).plan.offload);
  // One form only: there is no other to take.
  const fixed = { ...SIGMA, transformer: { ...SIGMA.transformer, forms: SIGMA.transformer.forms.slice(0, 1) } };
  assert.throws(() => planMemory(fixed, RUN, 1 * GB), /offload: one network in memory at a time/);
});

Deno.test("planMemory() counts what is on the GPU anyway", () => {
  const least = leastOf();
  const used = { ...SIGMA, inUse: 1 * GB };
  assert.throws(() => planMemory(used, RUN, least + 0.9 * GB), UsageError);
  assert.ok(planMemory(used, RUN, least + 1 * GB).plan.peakBytes <= least + 1 * GB);
});

Deno.test("fitRun() cuts a larger picture smaller, and refuses what does not fit the networks as they are loaded", () => {
  const chosen = planOf(4 * GB);
  const own = fitRun(SIGMA, chosen, RUN);
  assert.deepEqual([own.batchSize, own.vaeTiling], [1, chosen.plan.vaeTiling]);
  const large = fitRun(SIGMA, chosen, { ...RUN, height: 2048, width: 2048 });
  assert.ok(large.vaeTiling!.tileSampleMinSize < own.vaeTiling!.tileSampleMinSize);
  assert.ok(fitRun(SIGMA, chosen, { ...RUN, batch: 16 }).batchSize < 16);
  assert.throws(() => fitRun(SIGMA, chosen, { ...RUN, height: 16384, width: 16384 }), UsageError);
  // Latents are not decoded.
  assert.ok(own.vaeTiling !== undefined && fitRun(SIGMA, chosen, { ...RUN, isLatent: true }).vaeTiling === undefined);
  // What the call asks for is not changed.
  const tile = { tileSampleMinSize: 256, tileLatentMinSize: 32, tileOverlapFactor: 0.5 };
  assert.deepEqual(fitRun(SIGMA, chosen, RUN, { vaeTiling: tile }).vaeTiling, tile);
  assert.throws(() => fitRun(SIGMA, chosen, { ...RUN, batch: 16 }, { batchSize: 16 }), /16 pictures of 1024x1024/);
});
