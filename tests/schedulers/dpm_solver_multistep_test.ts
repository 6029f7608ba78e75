// The multistep DPM-Solver against traces of diffusers: the folder's own, and for the rarer options `options.json`,
// recorded from diffusers 0.40.dev0 with the same model on 12 numbers.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ConfigError, UsageError } from "../../src/errors.ts";
import { readJson } from "../../src/io/byte_source.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats, type WeightSource } from "../../src/io/weights.ts";
import { DPMSolverMultistepScheduler } from "../../src/schedulers/dpm_solver_multistep.ts";
import { assertClose, runPlan, traceModel } from "./_runner.ts";

const golden = fileURLToPath(new URL("../golden/schedulers-dpm", import.meta.url));
const TOLERANCE = 1e-5;

interface Trace {
  num_inference_steps: number;
  config: Record<string, unknown>;
  init_noise_sigma: number;
  noises: number;
}

async function readDoubles(source: WeightSource, name: string): Promise<number[]> {
  const bytes = await source.read(name);
  return Array.from(new Float64Array(bytes.slice().buffer));
}

const traces = await readJson(`${golden}/index.json`) as Record<string, Trace>;
for (const [name, trace] of Object.entries(traces)) {
  Deno.test(`DPMSolverMultistepScheduler matches diffusers on ${name}`, async () => {
    using file = await openSafetensors(`${golden}/${name}.safetensors`);
    const scheduler = DPMSolverMultistepScheduler.fromConfig(trace.config);
    scheduler.setTimesteps(trace.num_inference_steps);

    assert.equal(scheduler.initNoiseSigma, trace.init_noise_sigma);
    assert.deepEqual(scheduler.timesteps, await readDoubles(file, "timesteps"));
    assertClose(scheduler.sigmas, await readDoubles(file, "sigmas"), 1e-6, "sigmas");

    const noises = file.names().filter((tensor) => tensor.startsWith("noise."));
    assert.equal(noises.length, trace.noises);
    const drawn = await Promise.all(noises.map((tensor) => readFloats(file, tensor)));
    const samples = runPlan(scheduler.plan(), await readFloats(file, "in.sample"), 2, traceModel, () => drawn.shift()!);
    assert.equal(drawn.length, 0, "as many noises were drawn");
    for (const [index, sample] of samples.entries()) {
      const tensor = `out.${String(index).padStart(3, "0")}`;
      assertClose(sample, await readFloats(file, tensor), TOLERANCE, tensor);
    }

    const noisy = scheduler.addNoise(
      await readFloats(file, "add.sample"),
      await readFloats(file, "add.noise"),
      await readDoubles(file, "add.timesteps"),
    );
    assertClose(noisy, await readFloats(file, "add.out"), TOLERANCE, "add.out");
  });
}

interface OptionTrace {
  config: Record<string, unknown>;
  steps: number;
  set_timesteps: { timesteps?: number[]; mu?: number };
  timesteps: number[];
  sigmas: number[];
  in: number[];
  out: number[];
  noises?: number[][];
}

const options = await readJson(`${golden}/options.json`) as Record<string, OptionTrace>;
for (const [name, trace] of Object.entries(options)) {
  Deno.test(`DPMSolverMultistepScheduler matches diffusers with options: ${name}`, () => {
    const scheduler = DPMSolverMultistepScheduler.fromConfig(trace.config);
    assert.deepEqual(scheduler.unknownConfigKeys, []);
    scheduler.setTimesteps(trace.steps, trace.set_timesteps);
    assert.deepEqual(scheduler.timesteps, trace.timesteps);
    assertClose(scheduler.sigmas, trace.sigmas, 1e-6, "sigmas");

    const drawn = [...trace.noises ?? []];
    const samples = runPlan(
      scheduler.plan(),
      Float32Array.from(trace.in),
      2,
      traceModel,
      () => Float32Array.from(drawn.shift()!),
    );
    assert.equal(drawn.length, 0, "as many noises were drawn");
    // From a noise level of thousands on, the trace itself carries rounding of 1e-5: a run in double says so.
    const tolerance = trace.sigmas[0] > 1000 ? 2 * TOLERANCE : TOLERANCE;
    assertClose(samples[samples.length - 1], trace.out, tolerance, "out");
  });
}

const make = (given: unknown) => DPMSolverMultistepScheduler.fromConfig(given);
const configError = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConfigError, `${error}`);
  assert.match(error.message, message);
  return true;
};
const usageError = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UsageError, `${error}`);
  assert.match(error.message, message);
  return true;
};

Deno.test("DPMSolverMultistepScheduler has the defaults of diffusers when nothing is given", () => {
  const { config } = new DPMSolverMultistepScheduler();
  assert.equal(config.numTrainTimesteps, 1000);
  assert.equal(config.solverOrder, 2);
  assert.equal(config.algorithmType, "dpmsolver++");
  assert.equal(config.lowerOrderFinal, true);
  assert.equal(config.lambdaMinClipped, -Infinity);
  assert.equal(config.trainedBetas, null);
  assert.ok(Object.isFrozen(config));
});

Deno.test("fromConfig() reads snake_case, skips notes and names the keys that it does not know", () => {
  const scheduler = make({
    _class_name: "DPMSolverMultistepScheduler",
    solver_order: 3,
    use_karras_sigmas: null,
    variance_type: "learned_range",
    clip_sample: true,
    constructor: 1,
  });
  assert.equal(scheduler.config.solverOrder, 3);
  assert.equal(scheduler.config.useKarrasSigmas, false);
  assert.equal(scheduler.config.varianceType, "learned_range");
  assert.deepEqual(scheduler.unknownConfigKeys, ["clip_sample", "constructor"]);
});

Deno.test("fromConfig() refuses values that cannot be honoured", () => {
  for (const given of [null, 3, "x", [1]]) assert.throws(() => make(given), configError(/must be an object/));
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ solver_order: 4 }, /solver_order must be 1, 2 or 3: 4/],
    [{ solver_order: "2" }, /solver_order must be/],
    [{ solver_order: null }, /solver_order must be 1, 2 or 3: null/],
    [{ beta_schedule: "laplace" }, /beta_schedule must be one of "linear"/],
    [{ beta_schedule: "toString" }, /beta_schedule must be/],
    [{ algorithm_type: "toString" }, /algorithm_type must be/],
    [{ prediction_type: "score" }, /prediction_type must be/],
    [{ timestep_spacing: "karras" }, /timestep_spacing must be/],
    [{ final_sigmas_type: "one" }, /final_sigmas_type must be/],
    [{ variance_type: "fixed_small" }, /variance_type must be/],
    [{ time_shift_type: "linear" }, /time_shift_type must be/],
    [{ num_train_timesteps: 0 }, /num_train_timesteps must be/],
    [{ beta_end: NaN }, /beta_end must be/],
    [{ beta_end: 1.5 }, /beta_end must be/],
    [{ lower_order_final: 1 }, /lower_order_final must be true or false: 1/],
    [{ lambda_min_clipped: Infinity }, /lambda_min_clipped must be/],
    [{ trained_betas: [] }, /trained_betas must be/],
    [{ trained_betas: [0.1, "x"] }, /trained_betas must be/],
    [{ trained_betas: [0.1, 0.2] }, /trainedBetas \[2\].*numTrainTimesteps is 1000/],
    [{ trained_betas: [0.1, 1], num_train_timesteps: 2 }, /each must be in \[0, 1\)/],
    [{ use_karras_sigmas: true, use_beta_sigmas: true }, /only one spacing/],
    [{ use_karras_sigmas: true, use_flow_sigmas: true }, /useFlowSigmas replaces/],
    [{ use_lu_lambdas: true, use_flow_sigmas: true }, /useFlowSigmas replaces/],
    [{ algorithm_type: "dpmsolver" }, /needs finalSigmasType "sigma_min"/],
    [
      { algorithm_type: "dpmsolver", final_sigmas_type: "sigma_min", prediction_type: "flow_prediction" },
      /needs an alg/,
    ],
    [{ algorithm_type: "sde-dpmsolver", final_sigmas_type: "sigma_min", solver_order: 3 }, /has orders 1 and 2/],
  ];
  for (const [given, message] of wrong) assert.throws(() => make(given), configError(message));
});

Deno.test("fromPretrained() reads a config with Python's -Infinity", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/scheduler`);
    await Deno.writeTextFile(
      `${folder}/scheduler/scheduler_config.json`,
      '{ "solver_order": 1, "lambda_min_clipped": -Infinity }',
    );
    const scheduler = await DPMSolverMultistepScheduler.fromPretrained(folder, { subfolder: "scheduler" });
    assert.equal(scheduler.config.solverOrder, 1);
    assert.equal(scheduler.config.lambdaMinClipped, -Infinity);
    await assert.rejects(DPMSolverMultistepScheduler.fromPretrained(folder), configError(/scheduler_config\.json/));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("setTimesteps() refuses what the method cannot run with", () => {
  const scheduler = new DPMSolverMultistepScheduler();
  for (const count of [0, -1, 2.5, NaN, 1001]) {
    assert.throws(() => scheduler.setTimesteps(count), usageError(/whole and from 1 to 1000/));
  }
  assert.throws(() => scheduler.setTimesteps(2, { sigmas: [1, 0.5] }), usageError(/take sigmas/));
  assert.throws(() => scheduler.setTimesteps(2, { mu: 1 }), usageError(/useDynamicShifting must be true/));
  assert.throws(() => scheduler.setTimesteps(2, { timesteps: [] }), usageError(/one at least/));
  assert.throws(() => scheduler.setTimesteps(2, { timesteps: [NaN] }), usageError(/finite/));
  const spacings = ["useKarrasSigmas", "useLuLambdas", "useExponentialSigmas", "useBetaSigmas", "useFlowSigmas"];
  for (const spacing of spacings) {
    const fixed = make({ [spacing]: true });
    assert.throws(() => fixed.setTimesteps(2, { timesteps: [900, 400] }), usageError(new RegExp(`${spacing} is true`)));
  }
  const clipped = make({ lambda_min_clipped: 100 });
  assert.throws(() => clipped.setTimesteps(5), configError(/100 leaves none/));
});

Deno.test("plan() refuses to run before setTimesteps() and against the noise", () => {
  assert.throws(() => new DPMSolverMultistepScheduler().plan(), usageError(/setTimesteps must come first/));
  const scheduler = make({ algorithm_type: "sde-dpmsolver++" });
  scheduler.setTimesteps(2, { timesteps: [100, 900] });
  assert.throws(() => scheduler.plan(), usageError(/timestep 100 .*noise levels must fall/));
});

Deno.test("plan() stays finite when rounded timesteps repeat", () => {
  for (const solverType of ["midpoint", "heun"] as const) {
    const scheduler = new DPMSolverMultistepScheduler({ solverOrder: 3, solverType });
    scheduler.setTimesteps(1000);
    assert.ok(new Set(scheduler.timesteps).size < 1000);
    assert.equal(scheduler.plan().length, 1000);
  }
});

Deno.test("plan() lowers the order at both ends when the steps are few", () => {
  const orders = (steps: number, options: Record<string, unknown>) => {
    const scheduler = make({ solver_order: 3, ...options });
    scheduler.setTimesteps(steps);
    return scheduler.plan().map((step) => step.history.length).join("");
  };
  assert.equal(orders(6, {}), "123321");
  assert.equal(orders(15, {}), "123333333333331");
  assert.equal(orders(6, { lower_order_final: false }), "123331");
  assert.equal(orders(6, { lower_order_final: false, final_sigmas_type: "sigma_min" }), "123333");
  assert.equal(orders(16, { euler_at_final: true, final_sigmas_type: "sigma_min" }), "1233333333333331");
});

Deno.test("addNoise() takes the noise of training when no run was set", () => {
  const scheduler = new DPMSolverMultistepScheduler({ numTrainTimesteps: 2, trainedBetas: [0.19, 0.75] });
  const noisy = scheduler.addNoise(Float32Array.of(1, 1), Float32Array.of(0, 0), [0, 1]);
  assertClose(noisy, [0.9, 0.45], 1e-6, "signal left");
  assert.throws(() => scheduler.addNoise(noisy, noisy, [0, 1, 1]), usageError(/whole number of values/));
});

Deno.test("addNoise() takes the last stop for a time outside the run and the second of two equal ones", () => {
  const scheduler = new DPMSolverMultistepScheduler();
  scheduler.setTimesteps(3, { timesteps: [900, 500, 100] });
  const [ones, zeros] = [Float32Array.of(1, 1), Float32Array.of(0, 0)];
  const [outside, last] = scheduler.addNoise(ones, zeros, [321, 100]);
  assert.equal(outside, last);
});
