import assert from "node:assert/strict";
import { driverOf, findVulkan } from "../../src/cli/vulkan_drivers.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

/** Runs `work` with some environment variables set, and the others of Vulkan's unset. */
function withEnvironment(variables: Record<string, string>, work: () => void): void {
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "XDG_DATA_HOME", "LD_LIBRARY_PATH"];
  const before = names.map((name) => Deno.env.get(name));
  for (const name of names) Deno.env.delete(name);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    work();
  } finally {
    names.forEach((name, i) => before[i] === undefined ? Deno.env.delete(name) : Deno.env.set(name, before[i]));
  }
}

Deno.test("findVulkan() reads manifests and the version in Mesa's libraries", () => {
  using folder = temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  Deno.mkdirSync(at("vulkan/icd.d"), { recursive: true });
  Deno.writeTextFileSync(at("libvulkan_lvp.so"), "\x7fELF\0\0Mesa 22.3.6 (LLV\0\0");
  Deno.writeTextFileSync(at("libother.so"), "\x7fELF");
  const manifest = (name: string, library: string) =>
    Deno.writeTextFileSync(at(name), JSON.stringify({ ICD: { library_path: library } }));
  manifest("relative.json", "./libvulkan_lvp.so");
  manifest("vulkan/icd.d/bare.json", "libvulkan_lvp.so");
  manifest("other.json", at("libother.so"));
  Deno.writeTextFileSync(at("broken.json"), "{");
  const lavapipe = at("libvulkan_lvp.so");

  const files = ["relative.json", "other.json", "broken.json", "missing.json"].map(at).join(":");
  withEnvironment({ VK_DRIVER_FILES: files }, () =>
    assert.deepEqual(findVulkan()?.drivers, [
      { manifest: at("relative.json"), library: lavapipe, mesa: "22.3.6" },
      { manifest: at("other.json"), library: at("libother.so"), mesa: undefined },
    ]));
  withEnvironment({ XDG_DATA_HOME: folder.path, LD_LIBRARY_PATH: folder.path }, () => {
    const bare = findVulkan()?.drivers.find(({ manifest }) => manifest === at("vulkan/icd.d/bare.json"));
    assert.deepEqual(bare, { manifest: at("vulkan/icd.d/bare.json"), library: lavapipe, mesa: "22.3.6" });
  });
});

Deno.test("driverOf() finds an adapter's driver by how it describes itself", () => {
  const drivers = ["libvulkan_radeon.so", "/usr/lib/libvulkan_lvp.so", "libGLX_nvidia.so.0"]
    .map((library) => ({ manifest: `${library}.json`, library }));
  assert.equal(driverOf("llvmpipe (LLVM 15.0.6, 256 bits)", drivers), drivers[1]);
  assert.equal(driverOf("AMD Radeon RX 7900 (RADV NAVI31)", drivers), drivers[0]);
  assert.equal(driverOf("NVIDIA H100 PCIe", drivers), drivers[2]);
  assert.equal(driverOf("Intel(R) Arc", drivers), undefined);
  assert.equal(driverOf("something else", drivers), undefined);
});
