// The Vulkan drivers of this machine, which WebGPU does not name. In: the manifests that the Vulkan loader would read, in its own
// order. Out: each driver's library, and Mesa's version where it is Mesa's.

import { Buffer } from "node:buffer";
import { basename, dirname, isAbsolute, join } from "node:path";

/** An installed driver. */
export interface VulkanDriver {
  /** The manifest, a JSON file. */
  manifest: string;
  /** The library as the manifest has it, or where it was found. */
  library: string;
  /** Of Mesa's drivers, such as `25.0.7`; undefined where the library is another's or was not found. */
  mesa?: string;
}

/** What is there of Vulkan. */
export interface VulkanState {
  drivers: VulkanDriver[];
  /** Whether the loader, libvulkan.so.1, lies in one of the usual folders. */
  hasLoader: boolean;
}

/** An environment variable; one that may not be read counts as not set. */
export function environment(name: string): string | undefined {
  try {
    return Deno.env.get(name) || undefined;
  } catch {
    return undefined;
  }
}

const split = (list: string | undefined) => (list ?? "").split(":").filter((part) => part !== "");

function namesIn(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
  } catch {
    return [];
  }
}

const isFile = (path: string): boolean => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
};

/** The folders that the system's linker looks in. */
function libraryFolders(): string[] {
  const multiarch = ["/usr/lib", "/lib"].flatMap((base) =>
    namesIn(base).filter((name) => /-linux-gnu/.test(name)).map((name) => join(base, name))
  );
  const nix = "/run/opengl-driver/lib";
  return [
    ...split(environment("LD_LIBRARY_PATH")),
    ...multiarch,
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/lib",
    nix,
  ];
}

const manifestsOf = (place: string) =>
  isFile(place) ? [place] : namesIn(place).filter((name) => name.endsWith(".json")).map((name) => join(place, name));

function manifests(): string[] {
  const chosen = environment("VK_DRIVER_FILES") ?? environment("VK_ICD_FILENAMES");
  if (chosen) return split(chosen).flatMap(manifestsOf);
  const home = environment("HOME");
  const folders = [
    environment("XDG_CONFIG_HOME") ?? (home && join(home, ".config")),
    ...split(environment("XDG_CONFIG_DIRS") ?? "/etc/xdg"),
    "/etc",
    environment("XDG_DATA_HOME") ?? (home && join(home, ".local/share")),
    ...split(environment("XDG_DATA_DIRS") ?? "/usr/local/share:/usr/share"),
    "/run/opengl-driver/share",
  ];
  const places = folders.filter((folder) => folder !== undefined).map((folder) => join(folder, "vulkan/icd.d"));
  return [...split(environment("VK_ADD_DRIVER_FILES")), ...new Set(places)].flatMap(manifestsOf);
}

/** Mesa writes its version into every driver, where programs are told it. */
function mesaVersion(library: string): string | undefined {
  try {
    const text = Buffer.from(Deno.readFileSync(library).buffer).toString("latin1");
    return /Mesa (\d+\.\d+\.\d+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

function readManifest(manifest: string, folders: readonly string[]): VulkanDriver | undefined {
  let library: unknown;
  try {
    library = JSON.parse(Deno.readTextFileSync(manifest)).ICD.library_path;
  } catch {
    return undefined; // the loader skips it, too
  }
  if (typeof library !== "string") return undefined;
  const name = library;
  const path = name.includes("/") ? (isAbsolute(name) ? name : join(dirname(manifest), name)) : folders
    .map((folder) => join(folder, name)).find(isFile);
  return path === undefined ? { manifest, library } : { manifest, library: path, mesa: mesaVersion(path) };
}

/** Looks for Vulkan's loader and drivers; only Linux has them in such places. */
export function findVulkan(): VulkanState | undefined {
  if (Deno.build.os !== "linux") return undefined;
  const folders = libraryFolders();
  const drivers = manifests().map((manifest) => readManifest(manifest, folders)).filter((found) => found !== undefined);
  return { drivers, hasLoader: folders.some((folder) => isFile(join(folder, "libvulkan.so.1"))) };
}

// What a driver's library is called, by a word of how its adapters describe themselves.
const LIBRARY_OF: [RegExp, RegExp][] = [
  [/llvmpipe/i, /lvp/],
  [/radv|amd|radeon/i, /radeon/],
  [/intel/i, /intel/],
  [/nvidia|geforce|tesla|quadro/i, /nvidia|GLX/],
];

/** The driver that an adapter of this description is of. */
export function driverOf(description: string, drivers: readonly VulkanDriver[]): VulkanDriver | undefined {
  const library = LIBRARY_OF.find(([pattern]) => pattern.test(description))?.[1];
  return library && drivers.find((driver) => library.test(basename(driver.library)));
}
