// The device: what an adapter grants, the kernels compiled for it, the memory taken from it.
// In: a GPU object (Deno's, Dawn's, a browser's). Out: tensors, recorders, kernels. Disposing frees everything.

import { DeviceError, ShapeError } from "../errors.ts";
import { Arena } from "./arena.ts";
import { type Backend, type GpuEntry, openBackend, SUBGROUP_MATRIX } from "./backend.ts";
import { ErrorLog } from "./errors.ts";
import { BindGroups } from "./bind_groups.ts";
import { type Constants, headerLine, Kernel, type KernelSource, sameConstants } from "./kernel.ts";
import { Ledger } from "./ledger.ts";
import { ParamsPool } from "./params.ts";
import { standInFor } from "./stand_in.ts";
import { makeStorage, type Storage, USAGE } from "./storage.ts";
import { byteSize, type DType, elementCount, formatShape, type HostArray, hostDType, Tensor } from "./tensor.ts";

/** What times dispatches: see `Profile`. */
export interface DispatchTimer {
  next(name: string): GPUComputePassTimestampWrites | undefined;
  resolve(encoder: GPUCommandEncoder): void;
}

/** A product [M, K] by [K, N] that the lanes of a subgroup do together, with its types in WGSL's words. */
export interface SubgroupMatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** WebGPU's limits that this library looks at. */
export type DeviceLimits = Record<typeof USEFUL_LIMITS[number], number>;

/** How many bytes a buffer holds, and a binding of one. */
export type MemoryLimits = Pick<DeviceLimits, "maxBufferSize" | "maxStorageBufferBindingSize">;

/** How a device is opened. */
export interface DeviceOptions {
  /** Which WebGPU implementation; PIXART_BACKEND decides when neither this nor `gpu` is given. */
  backend?: Backend;
  /** Any GPU object, in place of a named backend. */
  gpu?: GPU;
  /** Optional features to ask for; every useful one when not given, `[]` for none. */
  features?: readonly string[];
  /** Limits to keep to, by WebGPU's names, where they are below the adapter's: to run as on a smaller device. */
  limits?: Partial<DeviceLimits>;
  /** Whether kernels are chosen as for a CPU that poses as a GPU; the adapter tells when not given. */
  software?: boolean;
}

const USEFUL_FEATURES = ["shader-f16", "subgroups", "timestamp-query", SUBGROUP_MATRIX];
// wgpu grants this one without listing it.
const UNLISTED_FEATURES = ["subgroups"];
const USEFUL_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
] as const;

// Subgroup matrices are an experiment of Dawn's that must be announced together with a waived diagnostic.
const ENABLES: Record<string, string> = {
  "shader-f16": "enable f16;",
  "subgroups": "enable subgroups;",
  [SUBGROUP_MATRIX]:
    "enable chromium_experimental_subgroup_matrix; diagnostic(off, chromium.subgroup_matrix_uniformity);",
};

/** What WebGPU's typings do not have yet. */
type AdapterInfo = GPUAdapterInfo & {
  subgroupMinSize?: number;
  subgroupMaxSize?: number;
  subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
};

const NO_CONSTANTS: Constants = {};

const STORAGE = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;

async function requestDevice(entry: GpuEntry, wanted: readonly string[]): Promise<[GPUAdapter, GPUDevice]> {
  let reason: unknown;
  // An adapter is used up by a request, so each try asks for a new one; first with what it does not list, then without.
  for (const unlisted of [UNLISTED_FEATURES, []]) {
    const adapter = await entry.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) {
      throw new DeviceError(
        "Cannot open a GPU as an adapter must exist: none found (./pixart doctor says what to install)",
      );
    }
    const features = wanted.filter((name) => adapter.features.has(name as GPUFeatureName) || unlisted.includes(name));
    const limits = Object.fromEntries(USEFUL_LIMITS.map((name) => [name, adapter.limits[name]]));
    try {
      const device = await adapter.requestDevice({
        requiredFeatures: features as GPUFeatureName[],
        requiredLimits: limits,
      });
      return [adapter, device];
    } catch (error) {
      reason = error;
    }
  }
  throw new DeviceError(`Cannot open a GPU as the adapter must grant a device: ${reason}`, { cause: reason });
}

/** An open GPU. */
export class Device implements Disposable {
  /** WebGPU's limits of this device, or the lower ones that it was told to keep to. */
  readonly limits: Readonly<DeviceLimits>;
  /** The subgroup width where it is known not to vary and subgroup functions may be called; else 0. */
  readonly subgroupSize: number;
  /** What subgroup matrices can do here; empty where the device has none, or subgroups whose width varies. */
  readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
  /** Whether a CPU poses as this GPU. */
  readonly software: boolean;
  readonly ledger = new Ledger();
  readonly arena: Arena;
  readonly features: ReadonlySet<string>;
  readonly errors: ErrorLog;
  readonly params: ParamsPool;
  readonly bindGroups: BindGroups;
  /** When set, every dispatch is timed into it. */
  profile: DispatchTimer | undefined;
  #kernels = new Map<KernelSource, { constants: Constants; kernel: Kernel }[]>();
  #kernelCount = 0;
  /** The compilations that are under way. */
  #compiling = new Set<Promise<void>>();
  #closed = false;
  #absent: Tensor | undefined;

  private constructor(
    readonly entry: GpuEntry,
    readonly adapter: GPUAdapter,
    readonly gpu: GPUDevice,
    { limits: lowered = {}, software }: DeviceOptions,
    /** The device that this one is a rehearsal of: then it has no GPU, and nobody looks at its numbers. */
    readonly rehearsed?: Device,
  ) {
    const limits = USEFUL_LIMITS.map((name) => [name, Math.min(gpu.limits[name], lowered[name] ?? Infinity)]);
    this.limits = Object.fromEntries(limits);
    this.features = new Set(gpu.features as unknown as Iterable<string>);
    // Asked once: every look at an adapter's info goes to the driver's side.
    const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs = [], isFallbackAdapter } = adapter
      .info as AdapterInfo;
    this.subgroupSize = this.features.has("subgroups") && subgroupMinSize === subgroupMaxSize
      ? subgroupMinSize ?? 0
      : 0;
    this.subgroupMatrixConfigs = this.features.has(SUBGROUP_MATRIX) && this.subgroupSize > 0
      ? Array.from(subgroupMatrixConfigs, ({ componentType, resultComponentType, M, N, K }) => {
        return { componentType, resultComponentType, M, N, K };
      })
      : [];
    // Only CPUs have subgroups that are always 8 wide.
    this.software = software ?? (isFallbackAdapter || this.subgroupSize === 8);
    this.errors = new ErrorLog(gpu);
    this.params = new ParamsPool(gpu, this.ledger);
    this.bindGroups = new BindGroups(gpu, this.errors, this.limits.maxStorageBufferBindingSize, () => this.absent);
    this.arena = new Arena((bytes) => this.allocate(bytes, "activations"));
  }

  /**
   * Opens a device with all useful features the adapter grants, and its real limits.
   *
   * @throws {DeviceError} when there is no adapter, or it grants no device.
   * @example
   * ```ts
   * import { Device, read } from "@pixart/webgpu";
   * using device = await Device.open();
   * const x = device.upload(new Float32Array([1, 2, 3]), [3]);
   * console.assert((await read(device, x))[1] === 2);
   * ```
   */
  static async open(options: DeviceOptions = {}): Promise<Device> {
    const entry: GpuEntry = options.gpu
      ? { gpu: options.gpu, compiler: "tint", backend: "custom" }
      : await openBackend(options.backend);
    if (options.gpu && options.gpu === globalThis.navigator?.gpu && globalThis.Deno) entry.compiler = "naga";
    const [adapter, gpu] = await requestDevice(entry, options.features ?? USEFUL_FEATURES);
    return new Device(entry, adapter, gpu, options);
  }

  /** What the adapter says it is: `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  get description(): string {
    const { description, device, vendor } = this.adapter.info;
    return description || device || vendor || "unknown adapter";
  }

  /** Frees every buffer of this device and the device itself. */
  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.errors.close();
    this.params.clear();
    this.bindGroups.clear();
    this.ledger.destroyAll();
    this.gpu.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * A device without a GPU, on which any work may be done to find out which kernels it needs: this device compiles those while other
   * work goes on, as `compiled` tells. Buffers take no memory and read as zeros.
   *
   * @example
   * ```ts
   * import { Device, Recorder } from "@pixart/webgpu";
   * import { add } from "../ops/add.ts";
   * using device = await Device.open();
   * const work = (rec: Recorder) => add(rec, rec.tensor([4]), rec.tensor([4]));
   * using rehearsal = device.rehearsal();
   * const rec = new Recorder(rehearsal);
   * using _scope = rec.scope();
   * work(rec);
   * await device.compiled(); // and `work` on `device` compiles nothing
   * ```
   */
  rehearsal(): Device {
    const { entry, adapter, gpu, limits, software } = this;
    return new Device(entry, adapter, standInFor(gpu), { limits, software }, this);
  }

  /**
   * A kernel compiled with these constants; compiled once.
   *
   * @throws {DeviceError} at the next wait when it does not compile, with the compiler's message.
   */
  kernel(source: KernelSource, constants: Constants = NO_CONSTANTS): Kernel {
    const kernel = this.#kernel(source, constants);
    if (!kernel.isCompiled) this.errors.during(`compile ${source.name}`, () => kernel.pipeline);
    return kernel;
  }

  #kernel(source: KernelSource, constants: Constants): Kernel {
    let variants = this.#kernels.get(source);
    if (!variants) this.#kernels.set(source, variants = []);
    // Asked for every dispatch, and there are few: comparing them costs less than a key made of the constants.
    for (const variant of variants) if (sameConstants(variant.constants, constants)) return variant.kernel;
    if (this.rehearsed) this.rehearsed.#compileAhead(source, constants);
    // Naga knows subgroups without being told, and refuses to be told.
    const enables = (source.features ?? [])
      .filter((feature) => !(feature === "subgroups" && this.entry.compiler === "naga"))
      .map((feature) => ENABLES[feature]);
    const code = headerLine(enables, constants) + [source.source, ...(source.shared ?? [])].join("\n");
    const id = this.#kernelCount++;
    const kernel = this.errors.during(`compile ${source.name}`, () => new Kernel(this.gpu, id, source.name, code));
    variants.push({ constants, kernel });
    return kernel;
  }

  #compileAhead(source: KernelSource, constants: Constants): void {
    const kernel = this.#closed ? undefined : this.#kernel(source, constants);
    if (!kernel || kernel.isCompiled) return;
    const compiling = kernel.compileAhead((work) => this.errors.attempt(work));
    this.#compiling.add(compiling);
    compiling.finally(() => this.#compiling.delete(compiling));
  }

  /** Waits until everything is compiled that was begun; a kernel that is needed before that is compiled at once. */
  async compiled(): Promise<void> {
    await Promise.all(this.#compiling);
  }

  /** The number of kernels so far: compiled, or about to be. */
  get kernelCount(): number {
    return this.#kernelCount;
  }

  /** A raw buffer of at least `bytes` bytes, entered in the ledger; the caller destroys it. */
  allocate(bytes: number, label: string): Storage {
    this.errors.throwIfLost();
    if (this.#closed) throw new DeviceError(`Cannot allocate ${label} as the device must be open: it was disposed`);
    const size = Math.max(16, Math.ceil(bytes / 4) * 4);
    const limit = this.limits.maxBufferSize;
    const make = () => makeStorage(this.gpu, this.ledger, size, STORAGE, label, limit);
    return this.errors.during(`allocate ${label} of ${size} bytes`, make);
  }

  /** A tensor of its own, with zeros in it; disposing it frees its buffer. */
  tensor(shape: readonly number[], dtype: DType = "f32", label = "tensor"): Tensor {
    const storage = this.allocate(byteSize(elementCount(shape), dtype), label);
    return new Tensor(storage, shape, dtype, 0, (owned) => {
      owned.destroy();
      this.bindGroups.clear(); // they would keep the buffer alive
    });
  }

  /**
   * A tensor of its own with these numbers in it; disposing it frees its buffer.
   *
   * @throws {ShapeError} when the count of numbers is not that of the shape.
   */
  upload(data: HostArray, shape: readonly number[], label = "upload"): Tensor {
    const dtype = hostDType(data);
    if (data.length !== elementCount(shape)) {
      throw new ShapeError(`Cannot upload ${data.length} numbers as ${formatShape(shape)}: the counts differ`);
    }
    const tensor = this.tensor(shape, dtype, label);
    this.write(tensor, data);
    return tensor;
  }

  /** Overwrites a tensor's words, before all work submitted later. */
  write(tensor: Tensor, data: HostArray | Uint8Array, wordOffset = 0): void {
    this.gpu.queue.writeBuffer(
      tensor.storage.buffer,
      tensor.offset + wordOffset * 4,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
  }

  /** A small buffer to bind where a kernel's optional input is absent. */
  get absent(): Tensor {
    return this.#absent ??= this.tensor([4], "f32", "absent input");
  }

  /** Waits until all submitted work is done, and throws the first error since the last wait. */
  async settle(): Promise<void> {
    await this.gpu.queue.onSubmittedWorkDone();
    await this.errors.check();
  }
}
