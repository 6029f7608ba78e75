// Pipelines that share components and run at the same time give what each gives alone.

import assert from "node:assert/strict";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import { PixArtAlphaPipeline } from "../../src/pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { schedulerFromConfig } from "../../src/schedulers/registry.ts";
import { device } from "../_device.ts";

type Run = [prompt: string | string[], options: GenerateOptions];
type Painter = Pick<PixArtSigmaPipeline, "generate">;

const RUNS: Run[] = [
  ["a red apple on a blue background", { numInferenceSteps: 3, seed: 0 }],
  [["a cactus on pink", "rocket, black background"], { numInferenceSteps: 5, seed: 1, guidanceScale: 2 }],
  ["a large whale on white", { numInferenceSteps: 4, seed: 2, height: 48, width: 96, guidanceScale: 1 }],
];

const paint = async (pipe: Painter, [prompt, options]: Run) =>
  (await pipe.generate(prompt, options)).images.map(({ pixels }) => pixels);

Deno.test("pipelines with the same components paint at the same time what each paints alone", async () => {
  for (const offload of [false, true]) {
    using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, offload });
    const scheduler = schedulerFromConfig({ ...pipe.components.scheduler.config }, "EulerAncestralDiscreteScheduler");
    const painters: Painter[] = [
      pipe,
      new PixArtAlphaPipeline(pipe.components), // even the scheduler is shared, with another number of steps
      new PixArtSigmaPipeline({ ...pipe.components, scheduler }),
    ];
    const alone: Uint8Array[][] = [];
    for (const [i, painter] of painters.entries()) alone.push(await paint(painter, RUNS[i]));
    const together = await Promise.all(painters.map((painter, i) => paint(painter, RUNS[i])));
    assert.deepEqual(together, alone, `offload ${offload}`);
  }
});

Deno.test("a run that is cancelled or fails leaves those beside it alone", async () => {
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, offload: true });
  const alone = await paint(pipe, RUNS[1]);
  const controller = new AbortController();
  const onStep = () => controller.abort(new Error("enough"));
  const nan = { data: new Float32Array(4 * 16 * 16).fill(NaN), shape: [1, 4, 16, 16] };
  const [kept, cancelled, failed] = await Promise.allSettled([
    paint(pipe, RUNS[1]),
    paint(pipe, [RUNS[0][0], { ...RUNS[0][1], signal: controller.signal, onStep }]),
    paint(pipe, [RUNS[0][0], { ...RUNS[0][1], seed: undefined, latents: nan }]),
  ]);
  assert.deepEqual(kept, { status: "fulfilled", value: alone });
  assert.deepEqual([cancelled.status, failed.status], ["rejected", "rejected"]);
});
