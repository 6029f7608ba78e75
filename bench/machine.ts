// Where the bench runs. In: a device. Out: what its adapter, its driver and the machine say of themselves; the commit of the checkout.

import os from "node:os";
import { fileURLToPath } from "node:url";
import { driverOf, findVulkan } from "../src/cli/vulkan_drivers.ts";
import type { Device } from "../src/gpu/device.ts";
import type { Machine } from "./report.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Describes the machine. */
export function describeMachine(device: Device): Machine {
  const { vendor, architecture } = device.adapter.info;
  const driver = driverOf(device.description, findVulkan()?.drivers ?? []);
  const nvidia = askNvidia(vendor);
  return {
    device: nvidia?.name ?? device.description, // Dawn describes a card by its driver
    vendor,
    architecture,
    backend: device.entry.backend,
    driver: nvidia?.driver ?? (driver ? (driver.mesa ? `Mesa ${driver.mesa}` : driver.library) : ""),
    software: device.software,
    processor: device.software ? os.cpus()[0]?.model.replaceAll(/\((?:R|TM)\)/g, "").trim() : undefined,
    features: [...device.features].filter((name) => /subgroup|f16|timestamp/.test(name)).sort(),
    subgroupSize: device.subgroupSize,
    os: `${Deno.build.os} ${Deno.build.arch}`,
    cores: navigator.hardwareConcurrency,
    deno: Deno.version.deno,
  };
}

const readText = (path: string): string | undefined => {
  try {
    return Deno.readTextFileSync(ROOT + path).trim();
  } catch {
    return undefined;
  }
};

/** What NVIDIA's tool tells of its card; Deno keeps /proc to itself. */
function askNvidia(vendor: string): { name: string; driver: string } | undefined {
  if (!/nvidia|^4318$/i.test(vendor)) return undefined;
  try {
    const args = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    const { stdout } = new Deno.Command("nvidia-smi", { args, stderr: "null" }).outputSync();
    const [name, version] = new TextDecoder().decode(stdout).trim().split("\n")[0].split(", ");
    return name && version ? { name, driver: `NVIDIA ${version}` } : undefined;
  } catch {
    return undefined;
  }
}

/** The commit that is checked out, in seven digits; PIXART_COMMIT says it where the history is not there. */
export function commit(): string {
  const told = Deno.env.get("PIXART_COMMIT");
  if (told) return told.slice(0, 7);
  const head = readText(".git/HEAD");
  const ref = head?.match(/^ref: (.+)$/)?.[1];
  const packed = readText(".git/packed-refs")?.split("\n").find((line) => line.endsWith(` ${ref}`));
  const hash = ref ? readText(`.git/${ref}`) ?? packed : head;
  return hash?.slice(0, 7) ?? "unknown";
}
