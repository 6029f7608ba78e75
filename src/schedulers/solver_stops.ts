// Where a DPM-Solver run stops. In: the spacing options of its config, the noise schedule, a number of steps or custom
// timesteps. Out: the times to ask the model at and the noise level of each.

import { ConfigError, UsageError } from "../errors.ts";
import { noiseToSignal } from "./noise_schedule.ts";
import {
  betaSigmas,
  exponentialSigmas,
  flowSigmas,
  karrasSigmas,
  luSigmas,
  roundHalfEven,
  spacedTimesteps,
  timestepOf,
  type TimestepSpacing,
} from "./spacing.ts";

/** The options that choose the stops. */
export interface SpacingOptions {
  numTrainTimesteps: number;
  betaSchedule: string;
  timestepSpacing: TimestepSpacing;
  stepsOffset: number;
  lambdaMinClipped: number;
  useKarrasSigmas: boolean;
  useLuLambdas: boolean;
  useExponentialSigmas: boolean;
  useBetaSigmas: boolean;
  useFlowSigmas: boolean;
}

/** Times, which may be fractions, and one noise level for each. */
export interface Stops {
  timesteps: number[];
  sigmas: number[];
}

const SPACINGS = ["useKarrasSigmas", "useLuLambdas", "useExponentialSigmas", "useBetaSigmas", "useFlowSigmas"] as const;

/**
 * Chooses the stops of a run of `count` steps. Of several spacings the first of Karras, Lu, exponential and beta counts.
 * @param options The spacing options.
 * @param alphasCumprod [T] the noise schedule.
 * @param count The number of steps.
 * @param flowShift How far flow times are moved towards noise.
 * @throws {UsageError} When `count` is not a whole number from 1 to T.
 */
export function spacedStops(
  options: SpacingOptions,
  alphasCumprod: Float32Array,
  count: number,
  flowShift: number,
): Stops {
  const { numTrainTimesteps: total, timestepSpacing, stepsOffset } = options;
  if (!Number.isInteger(count) || count < 1 || count > total) {
    throw new UsageError(`Cannot set timesteps as their number must be whole and from 1 to ${total}: ${count}`);
  }
  if (options.useFlowSigmas) {
    const sigmas = flowSigmas(total, count, flowShift);
    return { timesteps: sigmas.map((sigma) => sigma * total), sigmas };
  }
  const levels = noiseToSignal(alphasCumprod);
  const logs = levels.map(Math.log);
  const sigmas = spacedSigmas(options, levels, logs, count);
  if (!sigmas) {
    const usable = usableTimesteps(alphasCumprod, options.lambdaMinClipped);
    return stopsAt(spacedTimesteps(timestepSpacing, count, usable, total, stepsOffset), levels);
  }
  const timesteps = sigmas.map((sigma) => timestepOf(sigma, logs));
  const rounds = (options.useKarrasSigmas || options.useLuLambdas) && options.betaSchedule !== "squaredcos_cap_v2";
  return { timesteps: rounds ? timesteps.map(roundHalfEven) : timesteps, sigmas };
}

function spacedSigmas(options: SpacingOptions, levels: Float32Array, logs: Float32Array, count: number) {
  const top = levels.length - 1;
  if (options.useKarrasSigmas) return karrasSigmas(levels[top], levels[0], count);
  if (options.useLuLambdas) return luSigmas(logs[top], logs[0], count);
  if (options.useExponentialSigmas) return exponentialSigmas(levels[top], levels[0], count);
  if (options.useBetaSigmas) return betaSigmas(levels[top], levels[0], count);
}

/**
 * The stops at timesteps that the caller chose, cut to whole numbers.
 * @throws {UsageError} When the config fixes the noise levels, or there is no timestep or one that is no number.
 */
export function customStops(
  options: SpacingOptions,
  alphasCumprod: Float32Array,
  timesteps: readonly number[],
): Stops {
  const spacing = SPACINGS.find((key) => options[key]);
  if (spacing) {
    throw new UsageError(`Cannot take timesteps as the config must leave the noise levels free: ${spacing} is true`);
  }
  if (timesteps.length === 0 || !timesteps.every(Number.isFinite)) {
    throw new UsageError(
      `Cannot take timesteps [${timesteps.length}] as they must be finite numbers, one at least: ${
        timesteps.join(", ")
      }`,
    );
  }
  return stopsAt(timesteps.map(Math.trunc), noiseToSignal(alphasCumprod));
}

/** Whole timesteps with the noise levels of training; outside the schedule the nearest level counts. */
function stopsAt(timesteps: number[], levels: Float32Array): Stops {
  const sigmas = timesteps.map((timestep) => levels[Math.min(Math.max(timestep, 0), levels.length - 1)]);
  return { timesteps, sigmas };
}

/** How many training steps, from the clean end, have a log of alpha over sigma that is at least `floor`. */
function usableTimesteps(alphasCumprod: Float32Array, floor: number): number {
  const log = (value: number) => Math.fround(Math.log(Math.fround(Math.sqrt(value))));
  const lambdas = alphasCumprod.map((alpha) => log(alpha) - log(Math.fround(1 - alpha)));
  const usable = lambdas.findLastIndex((lambda) => lambda >= Math.fround(floor)) + 1;
  if (usable < 1) {
    throw new ConfigError(`Cannot set timesteps as lambdaMinClipped must leave some: ${floor} leaves none`);
  }
  return usable;
}
