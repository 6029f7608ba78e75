import assert from "node:assert/strict";
import packageJson from "../../deno.json" with { type: "json" };
import { temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart } from "./_cli.ts";

const COMMANDS = ["generate", "verify", "doctor", "test"];

Deno.test("runProgram() prints its help without arguments", async () => {
  const { code, stdout, stderr } = await pixart([]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  assert.match(stdout, /^Usage: \.\/pixart/);
  for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  ${command} `, "m"));
});

Deno.test("runProgram() prints the help of each command with its options", async () => {
  const options = {
    generate: [
      ..."model out steps guidance seed negative width height num-images scheduler lora dtype backend json debug".split(
        " ",
      ),
      ..."overwrite max-sequence-length no-clean-caption no-binning".split(" "),
    ],
    verify: ["tolerance", "dtype", "backend", "json", "debug"],
    doctor: ["backend", "json", "debug"],
  };
  for (const [command, names] of Object.entries(options)) {
    const { code, stdout } = await pixart([command, "--help"]);
    assert.equal(code, 0);
    for (const name of names) assert.match(stdout, new RegExp(`--${name}\\b`), `${command} --${name}`);
  }
});

Deno.test("runProgram() prints its version", async () => {
  assert.deepEqual(await pixart(["--version"]), { code: 0, stdout: `${packageJson.version}\n`, stderr: "" });
  const { stdout } = await pixart(["--version", "--json"]);
  assert.deepEqual(JSON.parse(stdout), { version: packageJson.version });
});

Deno.test("runProgram() prints its help as JSON when asked to", async () => {
  const { code, stdout } = await pixart(["generate", "--help", "--json"]);
  assert.equal(code, 0);
  assert.match(JSON.parse(stdout).help, /--guidance/);
});

Deno.test("runProgram() exits 2 with one line when its arguments are wrong", async () => {
  const wrong: [string[], RegExp][] = [
    [["paint", "a panda"], /unknown command 'paint'; see \.\/pixart --help/],
    [["--stepz"], /unknown option '--stepz'/],
    [["generate"], /a prompt must say what is painted: .*; see \.\/pixart generate --help/],
    [["generate", "a", "red", "apple"], /put the prompt in quotes/],
    [["generate", "x", "--step", "3"], /Did you mean --steps/],
    [["generate", "x", "--steps", "0"], /'--steps <n>' argument '0' is invalid.*whole number from 1 on/],
    [["generate", "x", "--steps", "1.5"], /whole number/],
    [["generate", "x", "--seed", "0x10"], /It must be a whole number/],
    [["generate", "x", "--guidance", ""], /It must be a number/],
    [["generate", "x", "--dtype", "f64"], /f32, f16/],
    [["generate", "x", "--backend", "cuda"], /deno, dawn, auto/],
    [["generate", "x", "--scheduler", "heunn"], /DPMSolverMultistepScheduler, dpm, dpm\+\+, dpm-karras, dpm-sde/],
    [["generate", "x", "--out", "x.jpg"], /PNG/],
    [
      ["generate", "x", "--model", "/nonexistent"],
      /must be a folder, a URL, or org\/name on the hub: nothing is there/,
    ],
    [["verify"], /missing required argument 'dir'/],
    [["verify", "/nonexistent/folder"], /nothing is there/],
    [["verify", ".", "--tolerance", "-1"], /a number from 0 on/],
    [["doctor", "now"], /too many arguments/],
    [["test"], /run \.\/pixart test/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await pixart(args);
    const what = args.join(" ");
    assert.equal(code, 2, `${what}: ${stderr}`);
    assert.equal(stdout, "", what);
    assert.equal(linesOf(stderr).length, 1, `${what}: ${stderr}`);
    assert.match(stderr, message);
    assert.match(stderr, /^pixart: Cannot /, what);
  }
});

Deno.test("runProgram() tells a failure as one JSON document when asked to", async () => {
  const { code, stdout, stderr } = await pixart(["generate", "x", "--json", "--steps", "none"]);
  assert.equal(code, 2);
  const { error, exitCode } = JSON.parse(stdout);
  assert.equal(exitCode, 2);
  assert.equal(error.kind, "UsageError");
  assert.equal(stderr, `pixart: ${error.message}\n`);
});

Deno.test("runProgram() takes what stands behind -- as the prompt", async () => {
  const { code, stdout, stderr } = await pixart(["generate", "--out", "x.jpg", "--", "--json"]);
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /PNG/);
});

Deno.test("runProgram() prints a stack trace only with --debug", async () => {
  using folder = temporaryFolder();
  Deno.writeTextFileSync(`${folder.path}/model_index.json`, "{");
  const args = ["generate", "x", "--model", folder.path, "--out", folder.path];
  const plain = await pixart(args);
  assert.equal(plain.code, 1);
  assert.equal(linesOf(plain.stderr).length, 1, plain.stderr);
  assert.match(plain.stderr, /Cannot read .*model_index\.json as JSON/);
  const traced = await pixart([...args, "--debug"]);
  assert.equal(traced.code, 1);
  assert.match(traced.stderr, /\n +at .*\.ts:\d+/);
});
