// Which WebGPU implementation runs the kernels: Deno's own (wgpu), Dawn from npm `webgpu`, or a browser's.
// In: a name, the environment variable PIXART_BACKEND, or a GPU object. Out: a GPU object and what it is.

import { DeviceError, UsageError } from "../errors.ts";

/** The name of a WebGPU implementation; `auto` takes Dawn only where its adapter has subgroup matrices. */
export type Backend = "deno" | "dawn" | "auto";

/** A WebGPU entry point and the implementation behind it. */
export interface GpuEntry {
  gpu: GPU;
  /** Dawn and browsers compile with Tint and want `enable` lines; Deno compiles with Naga, which refuses some. */
  compiler: "naga" | "tint";
  backend: "deno" | "dawn" | "browser" | "custom";
}

/** The feature by which Dawn offers tensor cores. */
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix";

function environment(name: string): string | undefined {
  try {
    return globalThis.Deno?.env.get(name);
  } catch {
    return undefined; // no permission to read the variable: the same as not set
  }
}

function isDeno(): boolean {
  return typeof globalThis.Deno?.version?.deno === "string";
}

let dawn: Promise<GPU> | undefined;

/** Milliseconds between two looks of Dawn at what is pending. */
const POLL_MS = 1;

// While anything is pending, Dawn's binding asks for its next turn by setImmediate with a native function made anew each time. In a
// tight loop that takes a core from a software GPU, and Deno frees native functions one by one: after seconds of waiting, for minutes.
function slowDownPolling(): void {
  const immediately = globalThis.setImmediate;
  const isNative = (work: unknown) => /\{\s*\[native code\]\s*\}\s*$/.test(Function.prototype.toString.call(work));
  const patient = (work: (...args: unknown[]) => void, ...args: unknown[]) =>
    isNative(work) ? setTimeout(work, POLL_MS, ...args) : immediately(work, ...args);
  globalThis.setImmediate = patient as unknown as typeof immediately;
}

// Dawn's own toggles. Unsafe APIs are where it keeps subgroup matrices. On NVIDIA it offers no f16 unless told to, since some corners
// of the conformance tests fail there; the kernels' own tests pass.
const DAWN_TOGGLES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];

function openDawn(): Promise<GPU> {
  dawn ??= (async () => {
    try {
      // A variable, so that bundlers leave the native package out of the core; Deno needs no import map for the second form.
      const name = isDeno() ? "npm:webgpu@0.6.2" : "webgpu";
      const module = await import(name) as { create(flags: string[]): GPU };
      if (isDeno()) slowDownPolling();
      return module.create([`enable-dawn-features=${DAWN_TOGGLES.join()}`]);
    } catch (error) {
      dawn = undefined;
      throw new DeviceError(
        `Cannot open Dawn as the npm package "webgpu" must load: ${error instanceof Error ? error.message : error}`,
        { cause: error },
      );
    }
  })();
  return dawn;
}

function openNavigator(): GpuEntry {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) throw new DeviceError("Cannot open a GPU as WebGPU must exist here: navigator.gpu is missing");
  return isDeno() ? { gpu, compiler: "naga", backend: "deno" } : { gpu, compiler: "tint", backend: "browser" };
}

/**
 * Opens a WebGPU implementation.
 *
 * @param backend Its name; PIXART_BACKEND decides when it is not given.
 * @returns The GPU object, and which compiler reads its WGSL.
 * @throws {UsageError} when the name is not known.
 * @throws {DeviceError} when that implementation cannot be loaded.
 */
export async function openBackend(backend?: string): Promise<GpuEntry> {
  const name = backend ?? environment("PIXART_BACKEND") ?? "deno";
  switch (name) {
    case "deno":
      return openNavigator();
    case "dawn":
      return { gpu: await openDawn(), compiler: "tint", backend: "dawn" };
    case "auto": {
      try {
        const gpu = await openDawn();
        const adapter = await gpu.requestAdapter();
        if (adapter?.features.has(SUBGROUP_MATRIX as GPUFeatureName)) return { gpu, compiler: "tint", backend: "dawn" };
      } catch {
        // Dawn is optional: without it, the default stays.
      }
      return openNavigator();
    }
    default:
      throw new UsageError(`Cannot open backend "${name}" as it must be deno, dawn or auto: it is none of them`);
  }
}
