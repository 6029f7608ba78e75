// The launcher `pixart` and the parts of the suite's runner that read text, on fake machines: a folder of stubs is the whole PATH.
// No network, no GPU, nothing installed.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { tallyLine } from "../_run.ts";

const LAUNCHER = fileURLToPath(new URL("../../pixart", import.meta.url));
const TOOLS = ["sh", "sed", "grep", "head", "env", "readlink", "mkdir", "mktemp", "mv", "rm", "chmod", "cat", "true"];

/** A stub Deno that prints its arguments, one a line, after the variables that the launcher sets. */
const DENO = (version: string, cache = "exit 0") =>
  `case $1 in
  --version) echo "deno ${version} (stable, release, x86_64-unknown-linux-gnu)" ;;
  cache) ${cache} ;;
  *) echo "runtime=$XDG_RUNTIME_DIR"; for a; do echo "$a"; done; exit 7 ;;
esac`;

const VULKAN = { ldconfig: `echo "libvulkan.so.1 (libc6,x86-64) => /lib/libvulkan.so.1"`, uname: "echo Linux" };
const NO_VULKAN = { ldconfig: "exit 0", uname: "echo Linux" };
const PERSON = { id: "echo 1000" };
const ROOT = { id: "echo 0" };

interface Machine extends Disposable {
  folder: string;
  /** Runs the launcher and gives what it printed and its exit status. */
  run(args: string[], env?: Record<string, string>, launcher?: string): { code: number; out: string[]; err: string[] };
}

/** Makes a machine whose PATH has the given stubs (shell scripts by name) and no other program than a few plain tools. */
function makeMachine(stubs: Record<string, string>): Machine {
  const folder = Deno.makeTempDirSync({ prefix: "pixart launcher " });
  const bin = `${folder}/bin`;
  for (const path of [bin, `${folder}/app/src/cli`, `${folder}/home`, `${folder}/tmp`]) {
    Deno.mkdirSync(path, { recursive: true });
  }
  for (const tool of TOOLS) {
    const place = (Deno.env.get("PATH") ?? "").split(":").map((path) => `${path}/${tool}`).find(isFile);
    if (place !== undefined) Deno.symlinkSync(place, `${bin}/${tool}`);
  }
  for (const [name, script] of Object.entries(stubs)) writeScript(`${bin}/${name}`, script);
  Deno.copyFileSync(LAUNCHER, `${folder}/app/pixart`);
  Deno.chmodSync(`${folder}/app/pixart`, 0o755);
  Deno.writeTextFileSync(`${folder}/app/src/cli/main.ts`, "");
  Deno.writeTextFileSync(`${folder}/driver.json`, "{}");
  return {
    folder,
    run(args, env = {}, launcher = `${folder}/app/pixart`) {
      const { code, stdout, stderr } = new Deno.Command(launcher, {
        args,
        clearEnv: true,
        env: {
          PATH: bin,
          HOME: `${folder}/home`,
          TMPDIR: `${folder}/tmp`,
          VK_DRIVER_FILES: `${folder}/driver.json`,
          ...env,
        },
      }).outputSync();
      const lines = (bytes: Uint8Array) => new TextDecoder().decode(bytes).split("\n").slice(0, -1);
      return { code, out: lines(stdout), err: lines(stderr) };
    },
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function writeScript(path: string, script: string): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\n${script}\n`);
  Deno.chmodSync(path, 0o755);
}

/** The value of one permission flag, "" for a flag without value, undefined when it is not given. */
function permission(out: string[], name: string): string | undefined {
  const flag = out.find((line) => line === `--allow-${name}` || line.startsWith(`--allow-${name}=`));
  return flag?.slice(`--allow-${name}=`.length);
}

Deno.test("pixart runs main.ts with its arguments unchanged and Deno's exit status", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  const { code, out, err } = machine.run(["generate", "a red apple, * on $HOME", "", "--seed", "1"]);
  assert.equal(code, 7);
  assert.deepEqual(err, []);
  const main = out.indexOf(`${Deno.realPathSync(machine.folder)}/app/src/cli/main.ts`);
  assert.deepEqual(out.slice(main + 1), ["generate", "a red apple, * on $HOME", "", "--seed", "1"]);
  assert.ok(out.includes("--no-prompt") && !out.includes("-A") && !out.includes("--allow-all"));
  assert.equal(out[0], "runtime=/nonexistent");
});

Deno.test("pixart finds its folder through symbolic links and from any folder", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  Deno.symlinkSync("../app/pixart", `${machine.folder}/home/first`);
  Deno.symlinkSync(`${machine.folder}/home/first`, `${machine.folder}/tmp/second`);
  const { out } = machine.run([], {}, `${machine.folder}/tmp/second`);
  assert.equal(out.at(-1), `${Deno.realPathSync(machine.folder)}/app/src/cli/main.ts`);
});

Deno.test("pixart gives each command the permissions that it needs and no others", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  const grants = (args: string[], env?: Record<string, string>) => {
    const { out } = machine.run(args, env);
    return Object.fromEntries(["write", "net", "ffi", "run"].map((name) => [name, permission(out, name)]));
  };
  const hub = "huggingface.co,*.huggingface.co,*.hf.co";
  const none = { write: undefined, net: undefined, ffi: undefined, run: undefined };
  for (const args of [[], ["help"], ["generate", "--help"], ["verify", "folder"]]) {
    assert.deepEqual(grants(args), none, args.join(" "));
  }
  assert.deepEqual(grants(["doctor"]), { ...none, ffi: "" });
  assert.deepEqual(grants(["doctor", "--tune"]), { ...none, ffi: "", write: `${machine.folder}/home/.cache/pixart` });
  assert.deepEqual(grants(["doctor", "--forget"], { XDG_CACHE_HOME: "/c" }), { ...none, ffi: "", write: "/c/pixart" });
  assert.deepEqual(grants(["generate", "x"]), { ...none, write: "" });
  assert.deepEqual(grants(["generate", "x", "--model", machine.folder]), { ...none, write: "" });
  assert.deepEqual(grants(["generate", "x", "--model", "owner/name"]), { ...none, write: "", net: hub });
  assert.deepEqual(grants(["generate", "x", "--model=owner/name"], { HF_ENDPOINT: "http://mirror.example:8080/hub" }), {
    ...none,
    write: "",
    net: "", // a mirror may send us on to any host
  });
  assert.deepEqual(grants(["verify", "https://a.example/model"]), { ...none, net: "" });
  assert.deepEqual(grants(["verify", "folder", "--backend", "dawn"]), { ...none, ffi: "" });
  assert.deepEqual(grants(["verify", "folder", "--backend=auto"]), { ...none, ffi: "" });
  assert.deepEqual(grants(["verify", "folder"], { PIXART_BACKEND: "dawn" }), { ...none, ffi: "" });
  assert.deepEqual(grants(["verify", "folder", "--backend", "deno"], { PIXART_BACKEND: "dawn" }), none);
  assert.match(grants(["serve", "--host", "fe80::1"]).net ?? "", /^localhost,127\.0\.0\.1,.*,\[fe80::1\]$/);
});

Deno.test("pixart hands `test` to the runner of the suite", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  const { out } = machine.run(["test", "ops", "--backend", "dawn"]);
  assert.deepEqual(out.slice(-3), ["ops", "--backend", "dawn"]);
  assert.match(out.at(-4) ?? "", /app\/tests\/_run\.ts$/);
});

Deno.test("pixart hands `bench` to the bench, which may start peers and write its files", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  const { out } = machine.run(["bench", "matmul", "--peers"]);
  assert.deepEqual(out.slice(-2), ["matmul", "--peers"]);
  assert.match(out.at(-3) ?? "", /app\/bench\/main\.ts$/);
  const granted = ["run", "write", "ffi", "net"].map((name) => permission(out, name));
  assert.deepEqual(granted, ["", "", undefined, undefined]);
  assert.equal(permission(machine.run(["bench", "--backend", "dawn"]).out, "ffi"), "");
});

Deno.test("pixart freezes the lock file in CI only", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  Deno.writeTextFileSync(`${machine.folder}/app/deno.lock`, "{}");
  assert.ok(machine.run([], { CI: "true" }).out.includes("--frozen"));
  assert.ok(!machine.run([]).out.includes("--frozen"));
});

Deno.test("pixart setup prints the path of the Deno that it found", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.8.3") });
  const home = `${machine.folder}/home/.deno/bin`;
  Deno.mkdirSync(home, { recursive: true });
  writeScript(`${home}/deno`, DENO("2.10.0"));
  assert.deepEqual(machine.run(["setup"]), { code: 0, out: [`${home}/deno`], err: [] });
  writeScript(`${machine.folder}/own`, DENO("3.0.1+abcdef"));
  const own = machine.run(["setup"], { PIXART_DENO: `${machine.folder}/own` });
  assert.deepEqual(own.out, [`${machine.folder}/own`]);
});

Deno.test("pixart says in one line what to install when Deno is too old or missing and there is no npm", () => {
  const machines: Record<string, string>[] = [{ deno: DENO("2.8.3") }, {}];
  for (const stubs of machines) {
    using machine = makeMachine({ ...VULKAN, ...PERSON, ...stubs, sudo: "exit 1" });
    const { code, out, err } = machine.run(["generate", "x"]);
    assert.deepEqual([code, out, err.length], [1, [], 1]);
    assert.match(err[0], /Deno >= 2\.9 must be installed.*'sudo apt-get update && sudo apt-get install -y npm'/);
  }
});

Deno.test("pixart refuses a PIXART_DENO that is too old", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6"), old: DENO("1.46.3") });
  const { code, err } = machine.run([], { PIXART_DENO: `${machine.folder}/bin/old` });
  assert.deepEqual([code, err.length], [1, 1]);
  assert.match(err[0], /PIXART_DENO as it must be Deno >= 2\.9/);
});

Deno.test("pixart installs Deno with npm into .pixart/ without running install scripts, once", () => {
  const binary = DENO("2.9.6").replaceAll('"', '\\"').replaceAll("$", "\\$");
  const npm = `echo "$*" >>"$HOME/npm"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules/@deno/linux-x64-glibc"
printf '%s\\n' "#!/bin/sh" "${binary}" >"$2/node_modules/@deno/linux-x64-glibc/deno"
chmod +x "$2/node_modules/@deno/linux-x64-glibc/deno"`;
  using machine = makeMachine({ ...VULKAN, ...PERSON, npm });
  const first = machine.run(["setup"]);
  assert.equal(first.code, 0, first.err.join("\n"));
  assert.match(first.out[0], /\/app\/\.pixart\/deno-2\.9\.6\/node_modules\/@deno\/linux-x64-glibc\/deno$/);
  assert.deepEqual(machine.run(["setup"]), { ...first, err: [] });
  const calls = Deno.readTextFileSync(`${machine.folder}/home/npm`).trim().split("\n");
  assert.equal(calls.length, 1);
  assert.match(calls[0], /--ignore-scripts.* deno@2\.9\.6$/);
  assert.deepEqual([...Deno.readDirSync(`${machine.folder}/app/.pixart`)].map((entry) => entry.name), ["deno-2.9.6"]);
});

Deno.test("pixart says in one line what to do when npm fails, and leaves nothing half installed", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, npm: "echo npm ERR! network >&2; exit 1" });
  const { code, err } = machine.run([]);
  assert.equal(code, 1);
  assert.equal(err.length, 2, "a line of progress, then the error");
  assert.match(err[1], /npm could not fetch deno@2\.9\.6/);
  assert.deepEqual([...Deno.readDirSync(`${machine.folder}/app/.pixart`)], []);
});

Deno.test("pixart says in one line how to install Vulkan when it may not", () => {
  const cases: [string, Record<string, string>, Record<string, string>, RegExp][] = [
    [
      "sudo asks",
      { "apt-get": "exit 9", sudo: "exit 1" },
      {},
      /run 'sudo apt-get update && sudo apt-get install -y libvu/,
    ],
    ["no sudo", { "apt-get": "exit 9" }, {}, /run as root 'apt-get update && apt-get install -y libvulkan1'/],
    ["no apt", { dnf: "exit 9" }, {}, /run as root 'dnf install -y vulkan-loader mesa-vulkan-drivers'/],
    ["nothing", {}, {}, /with this system's package manager/],
    [
      "forbidden",
      { "apt-get": "exit 9", ...ROOT },
      { PIXART_NO_INSTALL: "1" },
      /PIXART_NO_INSTALL is set; run 'apt-get/,
    ],
  ];
  for (const [name, stubs, env, expected] of cases) {
    using machine = makeMachine({ ...NO_VULKAN, ...PERSON, deno: DENO("2.9.6"), ...stubs });
    const { code, out, err } = machine.run(["generate", "x"], env);
    assert.deepEqual([code, out, err.length], [1, [], 1], `${name}: ${err.join("\n")}`);
    assert.match(err[0], expected, name);
  }
});

Deno.test("pixart needs no Vulkan for help and doctor", () => {
  using machine = makeMachine({ ...NO_VULKAN, ...PERSON, deno: DENO("2.9.6") });
  for (const args of [[], ["help"], ["generate", "--help"], ["doctor"]]) assert.equal(machine.run(args).code, 7);
});

Deno.test("pixart installs the missing part of Vulkan with apt-get as root or through sudo", () => {
  for (const rights of [ROOT, { ...PERSON, sudo: 'shift; exec "$@"' }]) {
    using machine = makeMachine({
      ...rights,
      uname: "echo Linux",
      deno: DENO("2.9.6"),
      ldconfig: `cat "$HOME/loader" 2>/dev/null; exit 0`,
      "apt-get": `echo "$*" >>"$HOME/apt"; case $* in *install*) echo libvulkan.so.1 >"$HOME/loader" ;; esac`,
    });
    const { code, err } = machine.run(["generate", "x"]);
    assert.equal(code, 7, err.join("\n"));
    assert.deepEqual(err.length, 1);
    const calls = Deno.readTextFileSync(`${machine.folder}/home/apt`).trim().split("\n");
    assert.deepEqual(calls.map((call) => call.split(" ").at(-1)), ["update", "libvulkan1"]);
    assert.deepEqual(machine.run(["generate", "x"]).err, []);
  }
});

Deno.test("pixart says in one line how to go on when apt-get fails", () => {
  using machine = makeMachine({
    ...NO_VULKAN,
    ...ROOT,
    deno: DENO("2.9.6"),
    "apt-get": "echo E: no network; exit 100",
  });
  const { code, err } = machine.run(["generate", "x"]);
  assert.deepEqual([code, err.length], [1, 2]);
  assert.match(err[1], /could not install libvulkan1.*run 'apt-get update && apt-get install -y libvulkan1'/);
});

Deno.test("pixart refuses a VK_DRIVER_FILES that names no driver", () => {
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6") });
  const { code, err } = machine.run(["generate", "x"], { VK_DRIVER_FILES: "/nowhere/a.json:/nowhere/b.json" });
  assert.deepEqual([code, err.length], [1, 1]);
  assert.match(err[0], /VK_DRIVER_FILES/);
});

Deno.test("pixart tells a missing network in one line when npm packages cannot be fetched", () => {
  const cache =
    "echo 'error: Failed' >&2; echo '  0: error sending request for url (https://r/x): dns error' >&2; exit 1";
  using machine = makeMachine({ ...VULKAN, ...PERSON, deno: DENO("2.9.6", cache) });
  const { code, out, err } = machine.run(["generate", "x"]);
  assert.deepEqual([code, out, err.length], [1, [], 1]);
  assert.match(err[0], /npm packages.*\(https:\/\/r\/x\): dns error; connect to the network/);
});

Deno.test("tallyLine() counts tests one by one and lets the summary overrule", () => {
  const tally = { passed: 0, failed: 0, ignored: 0, failures: [], announced: 0 };
  const lines = [
    "running 3 tests from ./tests/a_test.ts",
    "a() works when b ... ok (1ms)",
    "  a step ... ok (0ms)",
    "b() fails ... FAILED (2ms)",
    "Uncaught error from ./tests/c_test.ts FAILED",
  ];
  assert.ok(lines.every((line) => !tallyLine(line, tally)));
  assert.deepEqual(tally, {
    passed: 1,
    failed: 2,
    ignored: 0,
    failures: ["b() fails", "./tests/c_test.ts"],
    announced: 3,
  });
  assert.ok(tallyLine("FAILED | 12 passed (3 steps) | 2 failed | 1 ignored | 5 filtered out (1m2s)", tally));
  assert.deepEqual([tally.passed, tally.failed, tally.ignored], [12, 2, 1]);
});
