import assert from "node:assert/strict";
import { driverAdvice } from "../../src/cli/driver_advice.ts";

const BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n';
const driver = { manifest: "/lvp.json", library: "/libvulkan_lvp.so", mesa: "22.3.6" };

Deno.test("driverAdvice() says what to install when there is no adapter", () => {
  const facts = { hasAdapter: false, isSoftware: false, osRelease: BOOKWORM };
  const [both] = driverAdvice({ ...facts, vulkan: { drivers: [], hasLoader: false } });
  assert.match(both, /apt-get install -y libvulkan1 mesa-vulkan-drivers/);
  const [loader] = driverAdvice({ ...facts, vulkan: { drivers: [driver], hasLoader: false } });
  assert.match(loader, /the Vulkan loader is missing.*apt-get install -y libvulkan1'/);
  const vulkan = { drivers: [], hasLoader: true };
  assert.match(driverAdvice({ ...facts, vulkan, osRelease: 'ID="rhel"\nID_LIKE="fedora"' })[0], /dnf install/);
  assert.match(driverAdvice({ ...facts, vulkan, osRelease: "ID=arch" })[0], /pacman/);
  assert.match(driverAdvice({ ...facts, vulkan, osRelease: "" })[0], /package manager/);
  const installed = (mesa?: string) => ({ drivers: [{ ...driver, mesa }], hasLoader: true });
  assert.match(driverAdvice({ ...facts, vulkan: installed() })[0], /\/lvp\.json/);
  assert.match(driverAdvice({ ...facts, vulkan: installed("22.3.6") })[0], /too old for Dawn.*bookworm-backports/);
  assert.match(driverAdvice(facts)[0], /graphics driver/);
});

Deno.test("driverAdvice() says how to get a newer Mesa", () => {
  const facts = {
    hasAdapter: true,
    isSoftware: true,
    osRelease: BOOKWORM,
    vulkan: { drivers: [driver], hasLoader: true },
  };
  const [mesa, cpu, ...more] = driverAdvice({ ...facts, driver });
  assert.match(mesa, /Mesa 22\.3\.6 is old.*bookworm-backports mesa-vulkan-drivers/);
  assert.match(cpu, /on the CPU/);
  assert.deepEqual(more, []);
  assert.match(driverAdvice({ ...facts, driver, osRelease: "ID=ubuntu" })[0], /newer release/);
  assert.equal(driverAdvice({ ...facts, driver: { ...driver, mesa: "25.0.7" } }).length, 1);
});

Deno.test("driverAdvice() says that a Vulkan driver is missing also where OpenGL takes its place", () => {
  const facts = { hasAdapter: true, isSoftware: true, osRelease: BOOKWORM, vulkan: { drivers: [], hasLoader: true } };
  assert.match(driverAdvice(facts)[0], /OpenGL.*apt-get install -y mesa-vulkan-drivers'/);
});

Deno.test("driverAdvice() has nothing to say of a good GPU", () => {
  assert.deepEqual(driverAdvice({ hasAdapter: true, isSoftware: false, osRelease: BOOKWORM }), []);
});
