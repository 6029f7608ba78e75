// Many pictures in one process, half of which fail: deno run -A bench/endurance.ts [--runs 200] [--seed 0]. Runs are cancelled at some
// step, given inputs that do not fit, latents that are not finite, or a device that refuses; what they took must be free afterwards.
// Prints the GPU's ledger and the process's memory as it goes.

import { parseArgs } from "node:util";
import { Device } from "../src/gpu/device.ts";
import { DEFAULT_MODEL } from "../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../src/pipelines/generate_options.ts";
import { PixArtSigmaPipeline } from "../src/pipelines/pixart_sigma_pipeline.ts";

/** What is held at one time. */
export interface Holding {
  /** Bytes of GPU buffers, and how many there are. */
  ledger: number;
  buffers: number;
  /** Bytes of the process. */
  rss: number;
}

/** How a run ended. */
export interface Outcome {
  /** What was done to it; `none` for a run that must succeed. */
  fault: Fault;
  /** The message of its error, where it failed. */
  error?: string;
}

const FAULTS = ["cancelled", "bad input", "not finite", "allocation refused", "validation refused"] as const;
type Fault = "none" | typeof FAULTS[number];

const PROMPTS = ["a red apple on a blue background", "a cactus on pink", "rocket, black background"];
const SIZES = [[64, 64], [48, 96], [128, 64]] as const;

/** Numbers from 0 up to but not `below`, the same for the same seed. */
function dice(seed: number): (below: number) => number {
  let state = seed + 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

/** Options that make a run fail, and what undoes the fault. */
function faultOptions(
  device: Device,
  fault: Fault,
  step: number,
): GenerateOptions & { undo?: () => void } {
  const { gpu } = device;
  switch (fault) {
    case "none":
      return {};
    case "bad input":
      return { guidanceScale: NaN };
    case "not finite":
      return {
        seed: undefined,
        latents: { data: new Float32Array(4 * 16 * 16).fill(NaN), shape: [1, 4, 16, 16] },
        height: 64,
        width: 64,
      };
    case "cancelled": {
      const controller = new AbortController();
      return {
        signal: controller.signal,
        onStep: (info) => void (info.step === step && controller.abort(new Error("cancelled"))),
      };
    }
    case "allocation refused": {
      const { createBuffer } = gpu;
      gpu.createBuffer = () => {
        throw new Error("allocation refused");
      };
      return { undo: () => void (gpu.createBuffer = createBuffer) };
    }
    case "validation refused":
      return {
        onStep: (info) => {
          if (info.step === step) {
            device.errors.during("do what is not valid", () => gpu.createBuffer({ size: 4, usage: 0 }));
          }
        },
      };
  }
}

/**
 * Makes pictures, every second of which fails.
 *
 * @param note Called after each run with its outcome and what is held then.
 */
export async function endure(
  runs: number,
  seed: number,
  note: (outcome: Outcome, held: Holding) => void,
): Promise<void> {
  using device = await Device.open();
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
  const roll = dice(seed);
  for (let run = 0; run < runs; run++) {
    const fault = run % 2 === 0 ? "none" : FAULTS[roll(FAULTS.length)];
    const [height, width] = SIZES[roll(SIZES.length)];
    const { undo, ...options } = faultOptions(device, fault, 1 + roll(3));
    const outcome: Outcome = { fault };
    try {
      await pipe.generate(PROMPTS[roll(PROMPTS.length)], {
        height,
        width,
        numInferenceSteps: 3,
        seed: run,
        ...options,
      });
    } catch (error) {
      outcome.error = (error as Error).message;
    } finally {
      undo?.();
    }
    const { ledger: { bytes, buffers } } = device;
    note(outcome, { ledger: bytes, buffers, rss: Deno.memoryUsage().rss });
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { runs: { type: "string", default: "200" }, seed: { type: "string", default: "0" } },
  });
  let run = 0;
  await endure(Number(values.runs), Number(values.seed), ({ fault, error }, { ledger, buffers, rss }) => {
    run++;
    if (run % 10 !== 0) return;
    const held = `${(ledger / 2 ** 20).toFixed(1)} MiB in ${buffers} buffers, process ${Math.round(rss / 2 ** 20)} MiB`;
    console.log(`${run}: ${held}; last ${fault}${error ? `: ${error}` : ""}`);
  });
}
