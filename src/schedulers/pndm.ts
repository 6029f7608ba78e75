// PNDM (arXiv 2202.09778): a linear multistep method on the noise, with a Runge-Kutta or a one-step start. In: options, a
// number of steps. Out: the coefficients of every model call.

import { spacing, training } from "./common_options.ts";
import { choice, flag, type OptionValues, readOptions } from "./config.ts";
import { DiscreteScheduler } from "./discrete_scheduler.ts";
import type { PlanOptions, StepPlan, TimestepOptions } from "./scheduler.ts";

const OPTIONS = {
  ...training(),
  skipPrkSteps: flag(false),
  setAlphaToOne: flag(false),
  predictionType: choice(["epsilon", "v_prediction"], "epsilon"),
  ...spacing("leading"),
};

/** The options of {@linkcode PNDMScheduler}; names and meanings are those of diffusers. */
export type PNDMConfig = Readonly<OptionValues<typeof OPTIONS>>;

/** A move from one time to another: sample * x + output * (the mix of model outputs). */
interface Move {
  sample: number;
  output: number;
}

/** What a model call does: the move, its mix of outputs by the number of the call, and whether it starts over. */
interface Call {
  move: Move;
  mix: Map<number, number>;
  /** Whether the move starts where the call before it did. */
  restarts: boolean;
}

// The Runge-Kutta start takes three steps of four calls.
const RUNGE_KUTTA = 4;

/** Adams-Bashforth weights by the number of outputs, the newest first. */
const ADAMS_BASHFORTH = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/**
 * PNDM: one model call a step up to fourth order. It makes one call more than it has steps, or nine more with the
 * Runge-Kutta start.
 *
 * @example
 * ```ts
 * import { PNDMScheduler } from "./pndm.ts";
 * const scheduler = new PNDMScheduler({ skipPrkSteps: true });
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.plan().length === 21);
 * ```
 */
export class PNDMScheduler extends DiscreteScheduler<PNDMConfig> {
  /** The number of model calls of the Runge-Kutta start. */
  #startCalls = 0;
  #stride = 1;

  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<PNDMConfig> = {}) {
    super("PNDMScheduler", readOptions("PNDMScheduler", OPTIONS, options));
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const stops = this.spacedTimesteps(numInferenceSteps);
    this.#stride = Math.floor(this.config.numTrainTimesteps / numInferenceSteps);
    if (this.config.skipPrkSteps) {
      this.#startCalls = 0;
      this.setTimestepStops(stops.length > 1 ? [stops[0], stops[1], ...stops.slice(1)] : stops);
      return;
    }
    if (stops.length < RUNGE_KUTTA) {
      this.refuse("set timesteps", "its Runge-Kutta start needs 4 steps without skipPrkSteps", `${stops.length}`);
    }
    const half = Math.floor(this.#stride / 2);
    const start = [1, 2, 3].flatMap((place) => {
      const middle = stops[place] + half;
      return [stops[place - 1], middle, middle, stops[place]];
    });
    this.#startCalls = start.length;
    this.setTimestepStops([...start, ...stops.slice(RUNGE_KUTTA - 1)]);
  }

  protected steps(begin: number, { repeatsFirst = false }: PlanOptions): StepPlan[] {
    if (begin > 0 && this.#startCalls > 0) {
      this.refuse("plan", "a run with the Runge-Kutta start must begin at its first step", `begin is ${begin}`);
    }
    const left = this.timesteps.slice(begin);
    const times = repeatsFirst && begin > 1 && left.length > 1 ? [left[0], left[1], ...left.slice(1)] : left;
    const calls = [...this.#rungeKutta(), ...this.#multistep(times.slice(this.#startCalls))];
    return calls.map(({ move, mix, restarts }, number) => {
      // A move that starts over takes back what the call before it did.
      const last = calls[number - 1];
      const back = restarts ? move.sample / last.move.sample : 0;
      const factors = new Map([...mix].map(([call, weight]) => [call, move.output * weight]));
      if (restarts) {
        for (const [call, weight] of last.mix) {
          factors.set(call, (factors.get(call) ?? 0) - back * last.move.output * weight);
        }
      }
      const reach = number - Math.min(...factors.keys());
      return {
        timestep: times[number],
        inputScale: 1,
        convert: { sample: 0, output: 1 },
        sample: restarts ? back : move.sample,
        history: Array.from({ length: reach + 1 }, (_, age) => factors.get(number - age) ?? 0),
        noise: 0,
        drawsNoise: false,
      };
    });
  }

  /** The calls of the Runge-Kutta start: to the middle, to the middle again, to the end, and to the end with all four. */
  #rungeKutta(): Call[] {
    return this.timesteps.slice(0, this.#startCalls).map((_, number) => {
      const first = number - number % RUNGE_KUTTA;
      const [from, middle, , to] = this.timesteps.slice(first, first + RUNGE_KUTTA);
      const stage = number - first;
      const half = Math.floor(this.#stride / 2);
      const target = [from - half, middle, middle - half, to][stage];
      const weights = stage === 3 ? [1 / 6, 1 / 3, 1 / 3, 1 / 6] : [1];
      const mix = new Map(weights.map((weight, index) => [number - weights.length + 1 + index, weight]));
      return { move: this.#move(from, target), mix, restarts: stage > 0 };
    });
  }

  /** The calls of the multistep method; without the Runge-Kutta start the second one improves on the first. */
  #multistep(timesteps: readonly number[]): Call[] {
    const outputs = Array.from({ length: this.#startCalls / RUNGE_KUTTA }, (_, step) => step * RUNGE_KUTTA);
    return timesteps.map((timestep, index) => {
      const number = this.#startCalls + index;
      if (number === 1) {
        const mix = new Map([[0, 1 / 2], [1, 1 / 2]]);
        return { move: this.#move(timestep + this.#stride, timestep), mix, restarts: true };
      }
      outputs.push(number);
      const read = outputs.slice(-4).reverse();
      const mix = new Map(ADAMS_BASHFORTH[read.length - 1].map((weight, age) => [read[age], weight]));
      return { move: this.#move(timestep, timestep - this.#stride), mix, restarts: false };
    });
  }

  /** The exact move of a sample whose noise stays as it is (equation 11 of the paper). */
  #move(from: number, to: number): Move {
    const alpha = this.alphaAt(from);
    const target = to >= 0 ? this.alphaAt(to) : this.config.setAlphaToOne ? 1 : this.alphaAt(0);
    const sample = Math.sqrt(target / alpha);
    const share = alpha * Math.sqrt(1 - target) + Math.sqrt(alpha * (1 - alpha) * target);
    const noise = (alpha - target) / share;
    if (this.config.predictionType === "epsilon") return { sample, output: noise };
    return { sample: sample + noise * Math.sqrt(1 - alpha), output: noise * Math.sqrt(alpha) };
  }
}
