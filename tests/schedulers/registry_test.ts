// What all schedulers have in common: how they are made, what they refuse, and that one's config makes another.

import assert from "node:assert/strict";
import { ConfigError, UsageError } from "../../src/errors.ts";
import { DDIMScheduler } from "../../src/schedulers/ddim.ts";
import { EulerDiscreteScheduler } from "../../src/schedulers/euler_discrete.ts";
import { schedulerFromConfig, SCHEDULERS } from "../../src/schedulers/registry.ts";
import type { StepPlan, TimestepOptions } from "../../src/schedulers/scheduler.ts";

// What PixArt's checkpoints hold.
const PIXART = {
  _class_name: "DPMSolverMultistepScheduler",
  _diffusers_version: "0.22.0.dev0",
  algorithm_type: "dpmsolver++",
  beta_end: 0.02,
  beta_schedule: "linear",
  beta_start: 0.0001,
  dynamic_thresholding_ratio: 0.995,
  euler_at_final: false,
  lambda_min_clipped: -Infinity,
  lower_order_final: true,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  sample_max_value: 1.0,
  solver_order: 2,
  solver_type: "midpoint",
  steps_offset: 0,
  thresholding: false,
  timestep_spacing: "linspace",
  trained_betas: null,
  use_karras_sigmas: false,
  use_lu_lambdas: false,
  variance_type: null,
};

const ORIGINAL = ["DPMS", "IDDPM", "SASolverSampler"];
const names = Object.keys(SCHEDULERS);
const factors = ({ convert, sample, history, noise, inputScale }: StepPlan) => {
  return [convert.sample, convert.output, sample, ...history, noise, inputScale];
};

function rejects(act: () => unknown, type: typeof ConfigError | typeof UsageError, message: RegExp): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof type, `${error}`);
    assert.match(error.message, message);
    return true;
  });
}

for (const name of names.filter((name) => !ORIGINAL.includes(name))) {
  Deno.test(`${name} can be made from the config of PixArt's checkpoints`, () => {
    const config = name === "DDPMScheduler" ? { ...PIXART, variance_type: "fixed_small" } : PIXART;
    const scheduler = schedulerFromConfig(config, name);
    assert.equal(scheduler.constructor.name, name);
    const known = Object.keys(scheduler.config).map((key) =>
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    );
    const unknown = Object.keys(PIXART).filter((key) => !key.startsWith("_") && !known.includes(key));
    assert.deepEqual(scheduler.unknownConfigKeys, unknown);
    scheduler.setTimesteps(20);
    assert.ok(scheduler.plan().flatMap(factors).every(Number.isFinite));
  });
}

for (const name of names) {
  Deno.test(`${name} plans and refuses as every scheduler does`, () => {
    const scheduler = SCHEDULERS[name].fromConfig({});
    assert.ok(Object.isFrozen(scheduler.config));
    assert.ok(scheduler.timesteps[0] > scheduler.timesteps[scheduler.timesteps.length - 1]);
    assert.equal(scheduler.timesteps.length <= scheduler.sigmas.length, true);
    rejects(() => scheduler.plan(), UsageError, /setTimesteps must come first/);
    for (const count of [0, -1, 2.5, NaN, 1001]) {
      rejects(() => scheduler.setTimesteps(count), UsageError, /^Cannot set timesteps/);
    }
    const options: TimestepOptions[] = [{ sigmas: [2, 1, 0] }, { timesteps: [900, 500] }, { mu: 1 }, { strength: 0.5 }];
    const taken = options.filter((option) => {
      try {
        scheduler.setTimesteps(10, option);
        return true;
      } catch (error) {
        assert.ok(error instanceof UsageError, `${error}`);
        return false;
      }
    });
    assert.ok(taken.length <= 2, "no scheduler takes them all");
    scheduler.setTimesteps(10);
    const plan = scheduler.plan();
    assert.equal(plan.length, scheduler.timesteps.length);
    assert.ok(plan.length >= (10 - 1) * scheduler.callsPerStep + 1);
    for (const begin of [-1, 0.5, plan.length]) {
      rejects(() => scheduler.plan({ begin }), UsageError, /begin must be a place/);
    }
    for (const [index, step] of plan.entries()) {
      assert.ok(step.history.length >= 1 && step.history.length <= index + 1);
      assert.ok(step.drawsNoise || step.noise === 0, "what is not drawn cannot be added");
    }
    rejects(
      () => scheduler.addNoise(new Float32Array(4), new Float32Array(3), [scheduler.timesteps[0]]),
      UsageError,
      /^Cannot add noise/,
    );
    for (const given of [null, 3, "x", [1]]) {
      rejects(() => SCHEDULERS[name].fromConfig(given), ConfigError, /must be an object/);
    }
  });
}

Deno.test("schedulerFromConfig() makes the class that the config names", () => {
  assert.equal(schedulerFromConfig(PIXART).constructor.name, "DPMSolverMultistepScheduler");
  rejects(() => schedulerFromConfig({ _class_name: "RePaintScheduler" }), ConfigError, /must be one of .*"RePaintSch/);
  rejects(() => schedulerFromConfig({ _class_name: "toString" }), ConfigError, /_class_name must be one of/);
  for (const json of [{}, null, undefined, 3]) {
    rejects(() => schedulerFromConfig(json), ConfigError, /_class_name must/);
  }
});

Deno.test("fromPretrained() makes the class that it is called on", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/scheduler`);
    await Deno.writeTextFile(`${folder}/scheduler/scheduler_config.json`, '{ "beta_end": 0.01, "solver_order": 3 }');
    const scheduler = await EulerDiscreteScheduler.fromPretrained(folder, { subfolder: "scheduler" });
    assert.equal(scheduler.config.betaEnd, 0.01);
    assert.deepEqual(scheduler.unknownConfigKeys, ["solver_order"]);
    await assert.rejects(DDIMScheduler.fromPretrained(folder), ConfigError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("fromConfig() refuses values that no such scheduler can honour", () => {
  const wrong: [string, Record<string, unknown>, RegExp][] = [
    ["DDIMScheduler", { prediction_type: "flow_prediction" }, /prediction_type must be/],
    ["DDIMScheduler", { clip_sample_range: 0 }, /clip_sample_range must be a number above 0/],
    ["DDPMScheduler", { variance_type: "fixed" }, /variance_type must be/],
    ["DDPMScheduler", { beta_schedule: "exp" }, /beta_schedule must be/],
    ["LCMScheduler", { original_inference_steps: 0.5 }, /original_inference_steps must be/],
    ["PNDMScheduler", { prediction_type: "sample" }, /prediction_type must be/],
    ["EulerDiscreteScheduler", { use_karras_sigmas: true, use_beta_sigmas: true }, /only one spacing/],
    ["EulerDiscreteScheduler", { sigma_min: -1 }, /sigma_min must be/],
    ["EulerAncestralDiscreteScheduler", { prediction_type: "sample" }, /prediction_type must be/],
    ["HeunDiscreteScheduler", { use_karras_sigmas: true, use_exponential_sigmas: true }, /only one spacing/],
    ["LMSDiscreteScheduler", { use_beta_sigmas: true, use_exponential_sigmas: true }, /only one spacing/],
    ["KDPM2DiscreteScheduler", { prediction_type: "sample" }, /prediction_type must be/],
    ["KDPM2AncestralDiscreteScheduler", { use_beta_sigmas: true, use_karras_sigmas: true }, /only one spacing/],
    ["DPMSolverSinglestepScheduler", { algorithm_type: "sde-dpmsolver" }, /algorithm_type must be/],
    ["DPMSolverSinglestepScheduler", { algorithm_type: "dpmsolver" }, /needs finalSigmasType "sigma_min"/],
    [
      "DPMSolverSinglestepScheduler",
      { algorithm_type: "dpmsolver", final_sigmas_type: "sigma_min", prediction_type: "flow_prediction" },
      /needs an algorithmType/,
    ],
    ["DEISMultistepScheduler", { algorithm_type: "sde-dpmsolver++" }, /algorithm_type must be/],
    ["DEISMultistepScheduler", { solver_order: 4 }, /solver_order must be 1, 2 or 3/],
    ["UniPCMultistepScheduler", { solver_order: 4 }, /solver_order must be 1, 2 or 3/],
    ["UniPCMultistepScheduler", { solver_p: {} }, /solver_p must be null/],
    ["UniPCMultistepScheduler", { disable_corrector: [0.5] }, /disable_corrector must be a list of whole/],
    ["UniPCMultistepScheduler", { shift_terminal: 0.1 }, /shiftTerminal needs useFlowSigmas/],
    ["UniPCMultistepScheduler", { predict_x0: false }, /finalSigmasType "zero" needs predictX0/],
    [
      "UniPCMultistepScheduler",
      { predict_x0: false, final_sigmas_type: "sigma_min", prediction_type: "flow_prediction" },
      /needs predictX0/,
    ],
    ["SASolverScheduler", { predictor_order: 4 }, /predictor_order must be 1, 2 or 3/],
    ["SASolverScheduler", { tau_func: 1 }, /tau_func must be a function/],
    [
      "SASolverScheduler",
      { algorithm_type: "noise_prediction", prediction_type: "flow_prediction" },
      /needs algorithm/,
    ],
    ["DPMS", { method: "adaptive" }, /method must be one of/],
    ["DPMS", { t_end: 2 }, /t_end must be/],
    ["DPMS", { lower_order_final: "sometimes" }, /lower_order_final must be true, false/],
    ["IDDPM", { timestep_respacing: "ten" }, /timestep_respacing must be/],
    ["SASolverSampler", { corrector_order: 0 }, /corrector_order must be/],
  ];
  for (const [name, config, message] of wrong) rejects(() => SCHEDULERS[name].fromConfig(config), ConfigError, message);
});

Deno.test("setTimesteps() refuses what the method cannot run with", () => {
  const wrong: [string, Record<string, unknown>, number, TimestepOptions, RegExp][] = [
    ["DDPMScheduler", {}, 0, { timesteps: [400, 400] }, /must be at least 0 and fall/],
    ["DDPMScheduler", {}, 0, { timesteps: [] }, /one at least/],
    ["DDPMScheduler", {}, 0, { timesteps: [1000] }, /must be below 1000/],
    ["DDPMScheduler", { steps_offset: 1 }, 1000, {}, /must be below 1000.*: 1000/],
    ["LCMScheduler", {}, 51, {}, /from 1 to 50/],
    ["LCMScheduler", {}, 4, { strength: 0 }, /strength must be above 0/],
    ["LCMScheduler", {}, 26, { strength: 0.5 }, /from 1 to 25/],
    ["PNDMScheduler", {}, 3, {}, /needs 4 steps without skipPrkSteps/],
    ["EulerDiscreteScheduler", { use_karras_sigmas: true }, 0, { timesteps: [9, 5] }, /leave the noise levels free/],
    ["EulerDiscreteScheduler", {}, 0, { timesteps: [9, 5], sigmas: [1, 0] }, /exclude each other/],
    ["EulerDiscreteScheduler", {}, 0, { sigmas: [1] }, /two at least/],
    [
      "EulerDiscreteScheduler",
      { timestep_type: "continuous", prediction_type: "v_prediction" },
      0,
      { timesteps: [9, 5] },
      /chooses them by the noise levels/,
    ],
    ["HeunDiscreteScheduler", {}, 0, { timesteps: [NaN] }, /finite/],
    ["UniPCMultistepScheduler", {}, 3, { sigmas: [1, 0.5] }, /must have useFlowSigmas/],
    ["UniPCMultistepScheduler", { use_flow_sigmas: true }, 3, { sigmas: [1, 0] }, /above 0 and at most 1/],
    ["UniPCMultistepScheduler", { use_flow_sigmas: true, use_dynamic_shifting: true }, 3, {}, /needs mu/],
    ["DEISMultistepScheduler", {}, 3, { mu: 1 }, /useDynamicShifting must be true/],
    ["DPMS", { order: 3 }, 2, {}, /as many as the order, 3/],
    ["IDDPM", {}, 4, { timesteps: [1000] }, /from 0 to 999/],
    ["IDDPM", { timestep_respacing: "ddim600" }, 4, {}, /evenly: ddim600/],
    ["SASolverSampler", { predictor_order: 3 }, 2, {}, /need 3 at least/],
  ];
  for (const [name, config, count, options, message] of wrong) {
    rejects(() => SCHEDULERS[name].fromConfig(config).setTimesteps(count, options), UsageError, message);
  }
});

Deno.test("plan() refuses to step where the method has no value", () => {
  const wrong: [string, Record<string, unknown>, TimestepOptions, RegExp][] = [
    ["DDIMScheduler", { rescale_betas_zero_snr: true, timestep_spacing: "trailing" }, {}, /from timestep 999/],
    ["UniPCMultistepScheduler", { lower_order_final: false }, {}, /noise levels must fall/],
    ["EulerDiscreteScheduler", { prediction_type: "sample" }, { sigmas: [2, 0, 0] }, /noise levels must fall/],
  ];
  for (const [name, config, options, message] of wrong) {
    const scheduler = SCHEDULERS[name].fromConfig(config);
    scheduler.setTimesteps(5, options);
    rejects(() => scheduler.plan(), UsageError, message);
  }
  const lms = SCHEDULERS.LMSDiscreteScheduler.fromConfig({});
  lms.setTimesteps(5);
  rejects(() => lms.plan({ order: 5 }), UsageError, /order must be 1, 2, 3 or 4/);
  const pndm = SCHEDULERS.PNDMScheduler.fromConfig({});
  pndm.setTimesteps(8);
  rejects(() => pndm.plan({ begin: 2 }), UsageError, /must begin at its first step/);
  const dpms = SCHEDULERS.DPMS.fromConfig({ method: "singlestep" });
  dpms.setTimesteps(8);
  assert.equal(dpms.plan({ begin: 2 }).length, 6);
  rejects(() => dpms.plan({ begin: 3 }), UsageError, /first call of a step/);
});

Deno.test("plan() stays finite when rounded timesteps repeat", () => {
  const repeating: [string, Record<string, unknown>][] = [
    ["DEISMultistepScheduler", { solver_order: 3 }],
    ["UniPCMultistepScheduler", { solver_order: 3 }],
    ["SASolverScheduler", { predictor_order: 3, corrector_order: 4 }],
    ["LMSDiscreteScheduler", {}],
  ];
  for (const [name, config] of repeating) {
    const scheduler = SCHEDULERS[name].fromConfig(config);
    scheduler.setTimesteps(1000);
    assert.equal(scheduler.plan().length, 1000);
  }
});
