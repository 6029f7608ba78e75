// Every deterministic solver on a problem with a known solution. For data with normal distribution of variance S the best
// prediction is linear in x, and the probability-flow ODE keeps x over its standard deviation. Twice as many steps must then
// divide the error by two to the power of the order that the solver claims.

import assert from "node:assert/strict";
import { DDIMScheduler } from "../../src/schedulers/ddim.ts";
import { DEISMultistepScheduler } from "../../src/schedulers/deis_multistep.ts";
import { DPMSolverMultistepScheduler } from "../../src/schedulers/dpm_solver_multistep.ts";
import { DPMSolverSinglestepScheduler } from "../../src/schedulers/dpm_solver_singlestep.ts";
import { EulerDiscreteScheduler } from "../../src/schedulers/euler_discrete.ts";
import { HeunDiscreteScheduler } from "../../src/schedulers/heun_discrete.ts";
import { KDPM2DiscreteScheduler } from "../../src/schedulers/kdpm2_discrete.ts";
import { LMSDiscreteScheduler } from "../../src/schedulers/lms_discrete.ts";
import { DPMS } from "../../src/schedulers/original_dpms.ts";
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

/** The relative error at four fifths of a run of `count` steps that starts at the exact solution at one fifth. */
function errorOf({ make, options, exactSteps = 0, extraCalls }: Case, count: number): number {
  const scheduler = make();
  scheduler.setTimesteps(count);
  const calls = scheduler.callsPerStep;
  const begin = extraCalls ? 0 : calls * count / 5;
  const end = calls * count * 4 / 5 + (extraCalls ?? 0);
  const plan = scheduler.plan({ ...options, begin }).slice(0, end - begin);
  // Schedulers that scale their input step the sample over alpha.
  const scaled = plan[0].inputScale !== 1;
  const exact = (sigma: number) => Math.sqrt((S + sigma ** 2) / (scaled ? 1 : 1 + sigma ** 2));
  let x = exact(scheduler.sigmas[begin]);
  const history: number[] = [];
  for (const [index, step] of plan.entries()) {
    const sigma = scaled ? Math.sqrt(step.inputScale ** -2 - 1) : scheduler.sigmas[begin + index];
    const input = step.inputScale * x;
    // The noise that is expected in the input.
    const output = input * sigma * Math.sqrt(1 + sigma ** 2) / (S + sigma ** 2);
    history.unshift(step.convert.sample * x + step.convert.output * output);
    if (index < exactSteps) x = exact(scheduler.sigmas[begin + index + 1]);
    else x = step.history.reduce((sum, factor, age) => sum + factor * history[age], step.sample * x);
  }
  return Math.abs(x / exact(scheduler.sigmas[end]) - 1);
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
