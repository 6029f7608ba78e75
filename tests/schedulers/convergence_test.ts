// Every solver on a problem with a known solution. For data with normal distribution of variance S the best prediction is linear in x,
// and the probability-flow ODE keeps x over its standard deviation. Twice as many steps must then divide the error by two to the power of
// the order that the solver claims. Solvers that add noise keep the standard deviation alone: x is followed as a sum of independent
// normal numbers, the first sample and every draw, whose factors say exactly how x is spread.

import assert from "node:assert/strict";
import { DDIMScheduler } from "../../src/schedulers/ddim.ts";
import { DDPMScheduler } from "../../src/schedulers/ddpm.ts";
import { DEISMultistepScheduler } from "../../src/schedulers/deis_multistep.ts";
import { DPMSolverMultistepScheduler } from "../../src/schedulers/dpm_solver_multistep.ts";
import { DPMSolverSinglestepScheduler } from "../../src/schedulers/dpm_solver_singlestep.ts";
import { EulerAncestralDiscreteScheduler } from "../../src/schedulers/euler_ancestral_discrete.ts";
import { EulerDiscreteScheduler } from "../../src/schedulers/euler_discrete.ts";
import { HeunDiscreteScheduler } from "../../src/schedulers/heun_discrete.ts";
import { KDPM2AncestralDiscreteScheduler } from "../../src/schedulers/kdpm2_ancestral_discrete.ts";
import { KDPM2DiscreteScheduler } from "../../src/schedulers/kdpm2_discrete.ts";
import { LCMScheduler } from "../../src/schedulers/lcm.ts";
import { LMSDiscreteScheduler } from "../../src/schedulers/lms_discrete.ts";
import { DPMS } from "../../src/schedulers/original_dpms.ts";
import { IDDPM } from "../../src/schedulers/original_iddpm.ts";
import { SASolverSampler } from "../../src/schedulers/original_sa_solver.ts";
import { PNDMScheduler } from "../../src/schedulers/pndm.ts";
import { SASolverScheduler } from "../../src/schedulers/sa_solver.ts";
import type { PlanOptions, Scheduler } from "../../src/schedulers/scheduler.ts";
import { UniPCMultistepScheduler } from "../../src/schedulers/unipc_multistep.ts";

const S = 0.3;

// Fine training steps, so that a rounding to whole ones is small beside the steps of a run.
const TRAINING = { numTrainTimesteps: 20000, betaStart: 0.000005, betaEnd: 0.001 };

interface Case {
  name: string;
  make: () => Scheduler;
  order: number;
  options?: PlanOptions;
  /** Steps that are replaced by the exact solution, since they are of lower order for want of predictions. */
  exactSteps?: number;
  /** Model calls that the start takes beside one a step; the run is measured from its first step on then. */
  extraCalls?: number;
}

/** The stretch of a run from one fifth to four fifths, where the solution is smooth. */
function stretch({ make, options, extraCalls }: Case, count: number) {
  const scheduler = make();
  scheduler.setTimesteps(count);
  const calls = scheduler.callsPerStep;
  const begin = extraCalls ? 0 : calls * count / 5;
  const end = calls * count * 4 / 5 + (extraCalls ?? 0);
  const plan = scheduler.plan({ ...options, begin }).slice(0, end - begin);
  // Schedulers that scale their input step the sample over alpha.
  const scaled = plan[0].inputScale !== 1;
  const deviation = (place: number) => {
    const sigma = scheduler.sigmas[place];
    return Math.sqrt((S + sigma ** 2) / (scaled ? 1 : 1 + sigma ** 2));
  };
  const steps = plan.map((step, index) => {
    const sigma = scaled ? Math.sqrt(step.inputScale ** -2 - 1) : scheduler.sigmas[begin + index];
    // The noise that is expected in the input is this times x.
    return { ...step, expected: step.inputScale * sigma * Math.sqrt(1 + sigma ** 2) / (S + sigma ** 2) };
  });
  return { steps, deviation, begin, end };
}

/** The relative error of a run of `count` steps that starts at the exact solution. */
function errorOf(entry: Case, count: number): number {
  const { steps, deviation, begin, end } = stretch(entry, count);
  let x = deviation(begin);
  const history: number[] = [];
  for (const [index, step] of steps.entries()) {
    history.unshift((step.convert.sample + step.convert.output * step.expected) * x);
    if (index < (entry.exactSteps ?? 0)) x = deviation(begin + index + 1);
    else x = step.history.reduce((sum, factor, age) => sum + factor * history[age], step.sample * x);
  }
  return Math.abs(x / deviation(end) - 1);
}

/** The relative error of the standard deviation after a run that adds noise. */
function spreadErrorOf(entry: Case, count: number): number {
  const { steps, deviation, begin, end } = stretch(entry, count);
  const mix = (parts: [factor: number, sum: Float64Array][]) =>
    parts.reduce(
      (all, [factor, sum]) => all.map((value, i) => value + factor * sum[i]),
      new Float64Array(steps.length + 1),
    );
  const normal = (index: number, factor = 1) => mix([]).fill(factor, index, index + 1);
  let x = normal(0, deviation(begin)), drawn = mix([]);
  const history: Float64Array[] = [];
  for (const [index, step] of steps.entries()) {
    history.unshift(mix([[step.convert.sample + step.convert.output * step.expected, x]]));
    const fresh = step.drawsNoise ? normal(index + 1) : mix([]);
    x = mix([
      [step.sample + (step.rawOutput ?? 0) * step.expected, x],
      ...step.history.map((factor, age): [number, Float64Array] => [factor, history[age]]),
      [step.noise, mix([[1, fresh], [step.previousNoise ?? 0, drawn]])],
    ]);
    drawn = fresh;
  }
  return Math.abs(Math.hypot(...x) / deviation(end) - 1);
}

// The multistep DPM-Solver of order 3 weighs its second difference by half, as its authors' code does: see its source.
const WEIGHED_BY_HALF = 2;

const cases: Case[] = [
  { name: "DDIMScheduler", make: () => new DDIMScheduler({ ...TRAINING, clipSample: false }), order: 1 },
  { name: "EulerDiscreteScheduler", make: () => new EulerDiscreteScheduler(TRAINING), order: 1 },
  { name: "HeunDiscreteScheduler", make: () => new HeunDiscreteScheduler(TRAINING), order: 2 },
  { name: "KDPM2DiscreteScheduler", make: () => new KDPM2DiscreteScheduler(TRAINING), order: 2 },
  ...[1, 2, 3, 4].map((order) => ({
    name: `LMSDiscreteScheduler of order ${order}`,
    make: () => new LMSDiscreteScheduler(TRAINING),
    order,
    options: { order },
    exactSteps: order - 1,
  })),
  // Its move from one time to the next is exact for one noise only, which leaves second order.
  {
    name: "PNDMScheduler",
    make: () => new PNDMScheduler({ ...TRAINING, skipPrkSteps: true }),
    order: 2,
    extraCalls: 1,
  },
  {
    name: "PNDMScheduler with its Runge-Kutta start",
    make: () => new PNDMScheduler(TRAINING),
    order: 2,
    extraCalls: 9,
  },
  ...[1, 2, 3].flatMap((order) => [
    {
      name: `DEISMultistepScheduler of order ${order}`,
      make: () => new DEISMultistepScheduler({ ...TRAINING, solverOrder: order }),
      order,
      exactSteps: order - 1,
    },
    {
      name: `DPMSolverMultistepScheduler of order ${order}`,
      make: () => new DPMSolverMultistepScheduler({ ...TRAINING, solverOrder: order }),
      order: Math.min(order, WEIGHED_BY_HALF),
    },
    {
      name: `DPMSolverSinglestepScheduler of order ${order}`,
      make: () => new DPMSolverSinglestepScheduler({ ...TRAINING, solverOrder: order }),
      order,
    },
    {
      name: `UniPCMultistepScheduler of order ${order}`,
      make: () => new UniPCMultistepScheduler({ ...TRAINING, solverOrder: order }),
      order: order + 1,
    },
    {
      name: `DPMS of order ${order}`,
      make: () => new DPMS({ diffusionSteps: 20000, order }),
      order: Math.min(order, WEIGHED_BY_HALF),
    },
    {
      name: `DPMS of order ${order} by single steps`,
      make: () => new DPMS({ diffusionSteps: 20000, order, method: "singlestep_fixed" }),
      order,
    },
    {
      name: `SASolverScheduler of order ${order}`,
      make: () =>
        new SASolverScheduler({ ...TRAINING, predictorOrder: order, correctorOrder: order, tauFunc: () => 0 }),
      order,
    },
    {
      name: `SASolverSampler of order ${order}`,
      make: () => new SASolverSampler({ diffusionSteps: 20000, predictorOrder: order, correctorOrder: order, eta: 0 }),
      order,
    },
  ]),
];

for (const entry of cases) {
  const { name, order } = entry;
  Deno.test(`${name} converges with order ${order} at least`, () => {
    const [coarse, fine] = [errorOf(entry, 120), errorOf(entry, 240)];
    const observed = Math.log2(coarse / fine);
    assert.ok(observed > order - 0.25, `order ${observed}: errors ${coarse} and ${fine}`);
  });
}

const noisy: Case[] = [
  { name: "DDPMScheduler", make: () => new DDPMScheduler({ ...TRAINING, clipSample: false }), order: 1 },
  { name: "IDDPM", make: () => new IDDPM({ diffusionSteps: 20000 }), order: 1 },
  {
    name: "DDIMScheduler with DDPM's noise",
    make: () => new DDIMScheduler({ ...TRAINING, clipSample: false }),
    order: 1,
    options: { eta: 1 },
  },
  { name: "EulerAncestralDiscreteScheduler", make: () => new EulerAncestralDiscreteScheduler(TRAINING), order: 1 },
  { name: "KDPM2AncestralDiscreteScheduler", make: () => new KDPM2AncestralDiscreteScheduler(TRAINING), order: 2 },
  // With noise, its second call does not raise the order.
  {
    name: "DPMSolverSinglestepScheduler with noise",
    make: () => new DPMSolverSinglestepScheduler({ ...TRAINING, algorithmType: "sde-dpmsolver++" }),
    order: 1,
  },
  ...[1, 2].map((order) => ({
    name: `DPMSolverMultistepScheduler of order ${order} with noise`,
    make: () => new DPMSolverMultistepScheduler({ ...TRAINING, algorithmType: "sde-dpmsolver++", solverOrder: order }),
    order,
  })),
  // The spread is what limits the third order.
  ...[2, 3].flatMap((order) => {
    const both = { predictorOrder: order, correctorOrder: order };
    return [
      {
        name: `SASolverScheduler of order ${order} with noise`,
        make: () => new SASolverScheduler({ ...TRAINING, ...both, tauFunc: () => 1 }),
        order: 2,
      },
      {
        name: `SASolverSampler of order ${order} with noise`,
        make: () => new SASolverSampler({ diffusionSteps: 20000, ...both, eta: 1 }),
        order: 2,
      },
    ];
  }),
];

for (const entry of noisy) {
  const { name, order } = entry;
  Deno.test(`${name} spreads samples with order ${order} at least`, () => {
    const [coarse, fine] = [spreadErrorOf(entry, 120), spreadErrorOf(entry, 240)];
    const observed = Math.log2(coarse / fine);
    assert.ok(observed > order - 0.25, `order ${observed}: errors ${coarse} and ${fine}`);
  });
}

Deno.test("LCMScheduler comes to the only picture there is, whatever the noise", () => {
  // Where all data is one number, the noise in x is known exactly.
  const data = 0.7;
  const scheduler = new LCMScheduler({ betaSchedule: "linear", betaStart: 0.0001, betaEnd: 0.02 });
  for (const steps of [1, 2, 4]) {
    scheduler.setTimesteps(steps);
    let x = -1.3;
    for (const [index, { convert, sample, history, noise }] of scheduler.plan().entries()) {
      const sigma = scheduler.sigmas[index];
      const alpha = 1 / Math.sqrt(1 + sigma ** 2);
      const m = convert.sample * x + convert.output * (x - alpha * data) / (sigma * alpha);
      x = sample * x + history[0] * m + noise * (index - 1.4);
    }
    assert.ok(Math.abs(x / data - 1) < 1e-5, `${steps} steps: ${x}`);
  }
});
