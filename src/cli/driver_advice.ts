// How to get a driver, or a better one. In: what was found of Vulkan and of adapters. Out: lines of advice, each of which says
// what is wanting and the command that mends it.

import type { VulkanDriver, VulkanState } from "./vulkan_drivers.ts";

const OLDEST_GOOD_MESA = 25;

/** What the advice depends on. */
export interface AdviceFacts {
  /** Undefined where the system has no Vulkan to look for. */
  vulkan?: VulkanState;
  /** Whether the WebGPU that was asked for has an adapter. */
  hasAdapter: boolean;
  /** Whether that adapter runs on the CPU. */
  isSoftware: boolean;
  /** The adapter's driver. */
  driver?: VulkanDriver;
  /** The text of /etc/os-release. */
  osRelease: string;
}

/** A field of /etc/os-release, without quotes. */
function field(osRelease: string, name: string): string {
  return new RegExp(`^${name}=["']?([^"'\\n]*)`, "m").exec(osRelease)?.[1] ?? "";
}

/** The command that installs a loader and a software driver. */
function installCommand(osRelease: string, packages: readonly string[]): string {
  const family = `${field(osRelease, "ID")} ${field(osRelease, "ID_LIKE")}`;
  if (/debian|ubuntu/.test(family)) return `run as root 'apt-get update && apt-get install -y ${packages.join(" ")}'`;
  if (/fedora|rhel/.test(family)) return "run as root 'dnf install -y vulkan-loader mesa-vulkan-drivers'";
  if (/arch/.test(family)) return "run as root 'pacman -S --needed vulkan-icd-loader vulkan-swrast'";
  return "install Mesa's lavapipe and the Vulkan loader with this system's package manager";
}

function newerMesa(osRelease: string): string {
  if (field(osRelease, "VERSION_CODENAME") === "bookworm") {
    return "add bookworm-backports to the apt sources of this machine, then run as root " +
      "'apt-get update && apt-get install -y -t bookworm-backports mesa-vulkan-drivers'";
  }
  return "install mesa-vulkan-drivers from this system's backports or from a newer release of it";
}

/** Debian's names of what Vulkan lacks here, and what they are. */
function missingParts({ hasLoader, drivers }: VulkanState): [name: string, what: string][] {
  return [
    ...(hasLoader ? [] : [["libvulkan1", "the Vulkan loader"] as [string, string]]),
    ...(drivers.length > 0 ? [] : [["mesa-vulkan-drivers", "a Vulkan driver"] as [string, string]]),
  ];
}

const isOld = (mesa: string | undefined) => mesa !== undefined && parseInt(mesa) < OLDEST_GOOD_MESA;

/** Advice for a machine; nothing when there is nothing to mend. */
export function driverAdvice({ vulkan, hasAdapter, isSoftware, driver, osRelease }: AdviceFacts): string[] {
  const missing = vulkan ? missingParts(vulkan) : [];
  if (missing.length > 0) {
    const state = hasAdapter ? "kernels run through OpenGL, which is slower" : "no adapter";
    const what = missing.map(([, what]) => what).join(" and ");
    return [`${state}, as ${what} is missing: ${installCommand(osRelease, missing.map(([name]) => name))}`];
  }
  if (!hasAdapter) {
    if (!vulkan) return ["no adapter: update the system and its graphics driver"];
    const old = vulkan.drivers.find(({ mesa }) => isOld(mesa))?.mesa;
    if (old) return [`no adapter, and Mesa ${old} is old, too old for Dawn: ${newerMesa(osRelease)}`];
    const manifests = vulkan.drivers.map(({ manifest }) => manifest).join(", ");
    return [`no adapter though Vulkan drivers are installed (${manifests}): reinstall them, or unset VK_DRIVER_FILES`];
  }
  const advice = [];
  if (isOld(driver?.mesa)) {
    const why = isSoftware ? `, and from ${OLDEST_GOOD_MESA} on it is about twice as fast` : "";
    advice.push(`Mesa ${driver?.mesa} is old${why}: ${newerMesa(osRelease)}`);
  }
  if (isSoftware) advice.push("kernels run on the CPU: with a GPU and its maker's Vulkan driver they would run there");
  return advice;
}
