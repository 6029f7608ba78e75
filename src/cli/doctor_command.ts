// `pixart doctor`: what this machine has, which kernels will run on it, and whether they are right. In: a backend, or none for all
// of them. Out: a report, and advice where something is wanting. Nothing is installed or changed, but for what `--tune` keeps.

import packageJson from "../../deno.json" with { type: "json" };
import type { Backend } from "../gpu/backend.ts";
import { type BackendReport, examineBackend, isHealthy, type TilesReport } from "./doctor_backend.ts";
import { driverAdvice } from "./driver_advice.ts";
import { EXIT, type Output } from "./output.ts";
import { formatTable } from "./table.ts";
import { tuneAdapter, type TuneFlags } from "./tune_adapter.ts";
import { environment, findVulkan, type VulkanState } from "./vulkan_drivers.ts";

/** The options of the command line, by their long names. */
export type DoctorFlags = TuneFlags;

/** The machine around the GPU. */
interface Machine {
  os: string;
  arch: string;
  /** The kernel's or the system's release; null where it may not be asked. */
  release: string | null;
  cores: number;
  /** Bytes; null where they may not be asked. */
  memory: { total: number; available: number } | null;
  deno: string;
}

function allowed<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch {
    return null;
  }
}

function lookAtMachine(): Machine {
  return {
    os: Deno.build.os,
    arch: Deno.build.arch,
    release: allowed(() => Deno.osRelease()),
    cores: navigator.hardwareConcurrency,
    memory: allowed(() => {
      const { total, available } = Deno.systemMemoryInfo();
      return { total, available };
    }),
    deno: Deno.version.deno,
  };
}

/** Which backends to look at, the one that will run first. */
function backendsFor(flag: Backend | undefined): { name: Backend; needed: boolean }[] {
  const chosen = flag ?? environment("PIXART_BACKEND") ?? "deno";
  // `auto` comes down to one of the two, and says which; a name that is unknown is an error of the first look.
  if (flag !== undefined && flag !== "auto") return [{ name: flag, needed: true }];
  const others = (["deno", "dawn"] as const).filter((name) => name !== chosen);
  return [{ name: chosen as Backend, needed: true }, ...others.map((name) => ({ name, needed: false }))];
}

/**
 * Looks at the machine and tests its kernels.
 *
 * @returns The exit status: 1 when the backend that will run has no adapter, or any self-test fails.
 * @throws {UsageError} when PIXART_BACKEND names no backend.
 */
export async function doctor(flags: DoctorFlags, output: Output): Promise<number> {
  if (flags.tune || flags.forget || flags.limit !== undefined) return await tuneAdapter(flags, output);
  const machine = lookAtMachine();
  const vulkan = findVulkan();
  printMachine(machine, vulkan, output);
  const backends: BackendReport[] = [];
  for (const { name, needed } of backendsFor(flags.backend)) {
    if (backends.some(({ backend }) => backend === name)) continue; // `auto` came down to it
    const report = await examineBackend(name, needed, vulkan);
    backends.push(report);
    printBackend(report, output);
  }
  const [{ adapter, loaded }] = backends;
  const advice = loaded
    ? driverAdvice({
      vulkan,
      hasAdapter: adapter !== undefined,
      isSoftware: adapter?.isFallbackAdapter ?? false,
      driver: adapter?.driver,
      osRelease: allowed(() => Deno.readTextFileSync("/etc/os-release")) ?? "",
    })
    : ["run ./pixart doctor --backend deno, the one that comes with Deno"];
  for (const line of advice) output.print(`advice: ${line}`);
  const ok = backends.every(isHealthy);
  output.print(ok ? "ok: kernels are right on this machine" : "FAILED: this machine cannot make pictures as it is");
  output.document({ ok, version: packageJson.version, machine, vulkan, backends, advice });
  return ok ? EXIT.ok : EXIT.failed;
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Limits that are sizes, in the unit they are usually told in. */
function formatLimit(name: string, value: number): string {
  if (!/Size$/.test(name) || /SizeX|SizeY|SizeZ/.test(name)) return String(value);
  return value >= 2 ** 20 ? `${Math.floor(value / 2 ** 20)} MiB` : `${Math.floor(value / 2 ** 10)} KiB`;
}

function printMachine(machine: Machine, vulkan: VulkanState | undefined, output: Output): void {
  const { os, arch, release, cores, memory, deno } = machine;
  output.print(`pixart ${packageJson.version}, Deno ${deno}`);
  const memoryText = memory ? `, ${gibibytes(memory.total)} of memory, ${gibibytes(memory.available)} of it free` : "";
  output.print(`machine: ${os}${release ? ` ${release}` : ""} ${arch}, ${cores} cores${memoryText}`);
  if (!vulkan) return;
  const found = vulkan.drivers.length === 0 ? "no driver" : "drivers:";
  output.print(`Vulkan: loader ${vulkan.hasLoader ? "found" : "not found"}, ${found}`);
  const rows = vulkan.drivers.map(({ library, mesa, manifest }) => [library, mesa ? `Mesa ${mesa}` : "", manifest]);
  if (rows.length > 0) output.print(formatTable(["", "", ""], rows));
}

const tilesText = ({ tuned, warning }: TilesReport) =>
  warning ??
    (tuned ? `tuned on this adapter, ${tuned.date}: ${tuned.path}` : "as measured elsewhere (--tune measures here)");

function printBackend(report: BackendReport, output: Output): void {
  const { backend, needed, adapter, kernels, tiles, selfTest, error } = report;
  output.print(`\nbackend ${backend}${needed ? " (used)" : ""}${adapter ? "" : `: ${error}`}`);
  if (!adapter) return;
  const limits = Object.entries(adapter.limits).map(([name, value]) => `${name} ${formatLimit(name, value)}`);
  const features = Object.entries(adapter.features).map(([name, has]) => `${name} ${has ? "yes" : "no"}`);
  const { driver } = adapter;
  output.print(formatTable(["", ""], [
    ["adapter", `${adapter.description}${adapter.isFallbackAdapter ? " (software, on the CPU)" : ""}`],
    ["vendor", [adapter.vendor, adapter.architecture, adapter.device].filter((text) => text !== "").join(", ")],
    ...(driver ? [["driver", `${driver.mesa ? `Mesa ${driver.mesa}, ` : ""}${driver.library}`]] : []),
    ["compiler", adapter.compiler],
    ["subgroups", adapter.subgroupSize > 0 ? `${adapter.subgroupSize} wide` : "of varying width, or none"],
    ...adapter.subgroupMatrices.map((matrix, i) => [i === 0 ? "matrices" : "", matrix]),
    ...features.map((line, i) => [i === 0 ? "features" : "", line]),
    ...limits.map((line, i) => [i === 0 ? "limits" : "", line]),
    ...Object.entries(kernels).map(([op, variant], i) => [i === 0 ? "kernels" : "", `${op}: ${variant}`]),
    ...(tiles ? [["tiles", tilesText(tiles)]] : []),
  ]));
  if (!selfTest) return output.print(`  self-test FAILED: ${error}`);
  output.print(`  self-test ${selfTest.ok ? "ok" : "FAILED"}, ${selfTest.seconds.toFixed(1)} s, largest error of each`);
  const rows = selfTest.rows.map(({ op, shape, maxError, ok }) => [
    op,
    shape,
    maxError.toExponential(1),
    ok ? "ok" : "FAILED",
  ]);
  output.print(formatTable(["", "", "", ""], rows).replace(/^/gm, "  "));
}
