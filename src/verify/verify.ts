// Trust in a port: runs a component beside numbers that were recorded elsewhere. In: a folder with the component and its
// reference numbers. Out: a report with a row for each output, and whether all of them are as they should be.

import { UsageError } from "../errors.ts";
import type { Backend } from "../gpu/backend.ts";
import { Device } from "../gpu/device.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import type { OutputReport } from "./compare.ts";
import { type ComponentKind, findComponent } from "./component.ts";
import type { Verifier, VerifyRun } from "./run.ts";
import { verifyAdapters } from "./verify_adapters.ts";
import { verifyAutoencoder } from "./verify_autoencoder.ts";
import { verifyGenerator } from "./verify_generator.ts";
import { verifyOriginal } from "./verify_original.ts";
import { verifyOriginalSamplers } from "./verify_original_samplers.ts";
import { verifyPipeline } from "./verify_pipeline.ts";
import { verifySchedulers } from "./verify_schedulers.ts";
import { verifyCaptions, verifyTokenizer } from "./verify_text.ts";
import { verifyTextEncoder } from "./verify_text_encoder.ts";
import { verifyTransformer } from "./verify_transformer.ts";

export type { OutputReport } from "./compare.ts";

/** How to verify. */
export interface VerifyOptions {
  /** The device to run on; one is opened, and closed again, when it is not given and the component needs one. */
  device?: Device;
  /** Which WebGPU the opened device is of. */
  backend?: Backend;
  /** Told the opened device before anything runs on it. */
  onDevice?: (device: Device) => Promise<unknown>;
  /**
   * The largest relative L2 error that passes; when not given, 1e-4 for a component and 1e-3 for a whole pipeline, 1e-2 with f16
   * weights, 2e-2 with int8, 2e-1 with int4 and 3e-1 as stored; for a text encoder 1e-1 with int8, 8e-1 with int4 and as stored.
   */
  tolerance?: number;
  /** How weights are kept; "stored" keeps blocks of small integers as the checkpoint has them, and all else as f16. */
  dtype?: WeightDType | "stored";
  /** Told what is being done, in words. */
  onProgress?: (text: string) => void;
  /** Told in a sentence which weights are not finite numbers. */
  onWarning?: (text: string) => void;
  signal?: AbortSignal;
}

/** What a verification found. */
export interface VerifyReport {
  folder: string;
  /** The component's class, or what it is where it has none. */
  component: string;
  /** The tolerance that was applied. */
  tolerance: number;
  outputs: OutputReport[];
  /** Whether every output is ok. */
  ok: boolean;
  /** Which weights are not finite numbers, in sentences. */
  warnings: string[];
  seconds: number;
}

const VERIFIERS: Record<ComponentKind, Verifier> = {
  "transformer": verifyTransformer,
  "original transformer": verifyOriginal,
  "adapters": verifyAdapters,
  "autoencoder": verifyAutoencoder,
  "text encoder": verifyTextEncoder,
  "schedulers": verifySchedulers,
  "original samplers": verifyOriginalSamplers,
  "generator": verifyGenerator,
  "tokenizer": verifyTokenizer,
  "captions": verifyCaptions,
  "pipeline": verifyPipeline,
};

// About twice what the recorded networks were measured to have (README, Measured). As stored, weights may be blocks of any kind.
const TOLERANCES = { f32: 1e-4, f16: 1e-2, int8: 2e-2, int4: 2e-1, stored: 3e-1 };
const TOLERANCES_OF: Partial<Record<ComponentKind, Partial<typeof TOLERANCES>>> = {
  "pipeline": { f32: 1e-3 },
  // T5 does not scale its scores: those of random weights are so large that attention chooses one token, and a small error another one.
  "text encoder": { int8: 1e-1, int4: 8e-1, stored: 8e-1 },
};

/**
 * Runs the component of a folder and compares its outputs with the recorded ones.
 *
 * @param dir A path or URL of a folder with a component and its reference numbers: `config.json`, weights and
 * `io.safetensors`, or a scheduler's, tokenizer's or pipeline's index.
 * @returns A row for each recorded output; one that cannot be computed here is a row that failed.
 * @throws {ConfigError} when the folder holds nothing that is known.
 * @throws {WeightsError} when a file or an input is missing or broken.
 * @throws {UsageError} when the tolerance is not a number from 0 on.
 * @example
 * ```ts
 * import { verifyFolder } from "./verify.ts";
 * const { ok } = await verifyFolder("tests/golden/captions");
 * console.assert(ok);
 * ```
 */
export async function verifyFolder(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const started = performance.now();
  const { dtype = "f32", signal, onProgress } = options;
  if (options.tolerance !== undefined && !(options.tolerance >= 0)) {
    throw new UsageError(`Cannot verify ${dir} as the tolerance must be a number from 0 on: ${options.tolerance}`);
  }
  const { kind, name } = await findComponent(dir);
  const tolerance = options.tolerance ?? TOLERANCES_OF[kind]?.[dtype] ?? TOLERANCES[dtype];
  let { device } = options;
  const warnings: string[] = [];
  const run: VerifyRun = {
    folder: dir,
    name,
    dtype: dtype === "stored" ? undefined : dtype,
    tolerance,
    signal,
    progress(text) {
      signal?.throwIfAborted();
      onProgress?.(text);
    },
    warn(text) {
      warnings.push(text);
      options.onWarning?.(text);
    },
    async device() {
      if (!device) {
        device = await Device.open({ backend: options.backend });
        await options.onDevice?.(device);
      }
      return device;
    },
  };
  try {
    const outputs = await VERIFIERS[kind](run);
    const ok = outputs.length > 0 && outputs.every((output) => output.ok);
    const seconds = (performance.now() - started) / 1000;
    return { folder: dir, component: name, tolerance, outputs, ok, warnings, seconds };
  } finally {
    // The caller's device is left as it was, without the buffers that were kept for reuse.
    if (options.device) options.device.arena.trim();
    else device?.dispose();
  }
}
