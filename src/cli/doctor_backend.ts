// One WebGPU implementation as `doctor` sees it. In: its name. Out: the adapter, what it grants, which kernels would run on it,
// and how a self-test went.

import { PixArtError, UsageError } from "../errors.ts";
import { type Backend, openBackend, SUBGROUP_MATRIX } from "../gpu/backend.ts";
import { Device } from "../gpu/device.ts";
import { attentionVariant } from "../ops/attention_variants.ts";
import { matmulVariant } from "../ops/matmul_variants.ts";
import { type SelfTest, selfTest } from "../verify/self_test.ts";
import { tellError } from "./output.ts";
import { chooseTiles } from "./tuned_device.ts";
import { driverOf, type VulkanDriver, type VulkanState } from "./vulkan_drivers.ts";

const FEATURES = ["shader-f16", "subgroups", "timestamp-query", SUBGROUP_MATRIX];
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

/** An adapter and what it grants. */
export interface AdapterReport {
  description: string;
  vendor: string;
  architecture: string;
  device: string;
  /** Whether it is software, on the CPU. */
  isFallbackAdapter: boolean;
  driver?: VulkanDriver;
  compiler: string;
  /** 0 where it is not known not to vary. */
  subgroupSize: number;
  /** Of tensor cores: `f16 16x16x16 to f32`. */
  subgroupMatrices: string[];
  /** Whether each feature that kernels can use was granted. */
  features: Record<string, boolean>;
  limits: Record<string, number>;
}

/** What was found of a backend. */
export interface BackendReport {
  backend: string;
  /** Whether it is the one that would run. */
  needed: boolean;
  /** Whether the implementation could be loaded; whether it then finds an adapter is another question. */
  loaded: boolean;
  adapter?: AdapterReport;
  /** Which variant of a kernel runs, by what it is asked for. */
  kernels: Record<string, string>;
  /** Whose choice of tiles the kernels are chosen by; missing where there is no adapter. */
  tiles?: TilesReport;
  selfTest?: SelfTest;
  /** Why there is no adapter, or no self-test. */
  error?: string;
}

/** Whose choice of tiles is in use. */
export interface TilesReport {
  /** When they were tuned, and where they are kept; null where they are those of this library. */
  tuned: { date: string; path: string } | null;
  /** Why tuned ones cannot be used. */
  warning?: string;
}

/** Chooses a device's kernels as other commands do, and says by what. */
async function chooseAsOthers(device: Device): Promise<TilesReport> {
  let warning: string | undefined;
  const found = await chooseTiles(device, (text) => warning = text);
  return { tuned: found ? { date: found.date, path: found.path } : null, ...(warning ? { warning } : {}) };
}

/** Whether a backend is as it should be: an adapter with right kernels, or no adapter where none is needed. */
export function isHealthy(
  { needed, adapter, selfTest }: Pick<BackendReport, "needed" | "adapter" | "selfTest">,
): boolean {
  return adapter ? selfTest?.ok === true : !needed;
}

interface MatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

function describeAdapter(device: Device, vulkan: VulkanState | undefined): AdapterReport {
  const info = device.adapter.info as GPUAdapterInfo & { subgroupMatrixConfigs?: MatrixConfig[] };
  const { vendor, architecture, device: model, isFallbackAdapter } = info;
  return {
    description: device.description,
    vendor,
    architecture,
    device: model,
    isFallbackAdapter,
    driver: driverOf(device.description, vulkan?.drivers ?? []),
    compiler: device.entry.compiler,
    subgroupSize: device.subgroupSize,
    subgroupMatrices: Array.from(
      info.subgroupMatrixConfigs ?? [],
      ({ componentType, resultComponentType, M, N, K }) => `${componentType} ${M}x${N}x${K} to ${resultComponentType}`,
    ),
    features: Object.fromEntries(FEATURES.map((name) => [name, device.features.has(name)])),
    limits: Object.fromEntries(LIMITS.map((name) => [name, device.limits[name]])),
  };
}

/** The kernels that PixArt's shapes would get. */
function chosenKernels(device: Device): Record<string, string> {
  return {
    "matmul of many rows": matmulVariant(device, 4096, 1152).name,
    "matmul of a few rows": matmulVariant(device, 2, 256).name,
    "attention, heads of 72 (transformer)": attentionVariant(device, { headWidth: 72 }).name,
    "attention, heads of 512 (autoencoder)": attentionVariant(device, { headWidth: 512 }).name,
  };
}

/** Native code may run only with a permission, and asking for Dawn may download it: so neither happens unasked. */
async function mayLoadDawn(): Promise<boolean> {
  return (await Deno.permissions.query({ name: "ffi" })).state === "granted";
}

/**
 * Opens a backend, describes it and tests its kernels.
 *
 * @param needed Whether it is the one that would run; another may be missing.
 * @throws {UsageError} when there is no backend of this name.
 */
export async function examineBackend(
  backend: Backend,
  needed: boolean,
  vulkan: VulkanState | undefined,
): Promise<BackendReport> {
  const report: BackendReport = { backend, needed, loaded: false, kernels: {} };
  if (backend === "dawn" && !needed && !await mayLoadDawn()) {
    return { ...report, error: "not looked at, as it is native code: run ./pixart doctor --backend auto" };
  }
  try {
    await openBackend(backend);
    report.loaded = true;
    using device = await Device.open({ backend });
    report.backend = device.entry.backend;
    report.adapter = describeAdapter(device, vulkan);
    report.tiles = await chooseAsOthers(device);
    report.kernels = chosenKernels(device);
    report.selfTest = await selfTest(device);
  } catch (error) {
    if (error instanceof UsageError || !(error instanceof PixArtError)) throw error;
    report.error = tellError(error).message.replace(/ \(\.\/pixart doctor [^)]*\)$/, ""); // this is the doctor
  }
  return report;
}
