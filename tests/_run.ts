// Runs the test suite. In: the arguments of `./pixart test`. Out: what `deno test` prints, then one line `N passed, N failed`,
// and its exit status.

import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Runs the test suite.

usage: ./pixart test [options] [PATH | WORD]...

A PATH is a file or folder, from here or from tests/ (ops, ops/matmul, matmul); a WORD that names none chooses the
tests that have it in their name. Without either, all tests run.

  --backend NAME   which WebGPU runs the kernels: deno, dawn or auto
  --fail-fast      stop at the first failure
  --json           print one JSON document on stdout, and the rest on stderr
  --help           print this`;

const root = fileURLToPath(new URL("..", import.meta.url));
const tests = join(root, "tests");

/** What `deno test` has told so far. */
interface Tally {
  passed: number;
  failed: number;
  ignored: number;
  failures: string[];
  /** How many tests were announced. */
  announced: number;
}

/**
 * Reads one line of `deno test`, without colours, into the tally.
 *
 * The counts of single tests are kept as well as the closing summary, which a crash of the GPU driver leaves out.
 *
 * @returns Whether the line was the summary.
 */
export function tallyLine(line: string, tally: Tally): boolean {
  const summary = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?:.*? \| (\d+) ignored)?/.exec(line);
  if (summary) {
    tally.passed = Number(summary[1]);
    tally.failed = Number(summary[2]);
    tally.ignored = Number(summary[3] ?? 0);
    return true;
  }
  const announced = /^running (\d+) tests? from /.exec(line);
  if (announced) tally.announced += Number(announced[1]);
  if (/^\S.* \.\.\. ok \(\d/.test(line)) tally.passed++;
  const failure = /^(\S.*) \.\.\. FAILED|^Uncaught error from (\S+) FAILED/.exec(line);
  if (failure) {
    tally.failed++;
    tally.failures.push(failure[1] ?? failure[2]);
  }
  return false;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The file or folder of tests that a word names, if any: a path, or the name of a file in a folder of tests/. */
function findPath(word: string): string | undefined {
  const name = word.replace(/(_test)?(\.ts)?$/, "_test.ts");
  const folders = [...Deno.readDirSync(tests)].filter((entry) => entry.isDirectory).map((entry) =>
    join(tests, entry.name)
  );
  const places = [
    resolve(word),
    join(tests, word),
    resolve(name),
    ...[tests, ...folders].map((path) => join(path, name)),
  ];
  return places.find((place) => exists(place) && !relative(tests, place).startsWith(".."));
}

function findBadUse(backend: string | undefined, words: string[]): string | undefined {
  if (backend !== undefined && !["deno", "dawn", "auto"].includes(backend)) {
    return `Cannot run tests on backend "${backend}" as it must be deno, dawn or auto: it is none of them`;
  }
  if (words.length > 1) {
    return `Cannot choose tests by ${words.length} words as a test name is matched with one: ${words.join(", ")}`;
  }
}

async function runTests(args: string[]): Promise<number> {
  let options;
  try {
    options = parseArgs({
      args,
      allowPositionals: true,
      options: {
        backend: { type: "string" },
        "fail-fast": { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    console.error(`pixart: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
    return 2;
  }
  const { values, positionals } = options;
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const paths = positionals.map(findPath).filter((path) => path !== undefined);
  const words = positionals.filter((word) => findPath(word) === undefined);
  const badUse = findBadUse(values.backend, words);
  if (badUse) {
    console.error(`pixart: ${badUse}`);
    return 2;
  }

  const started = performance.now();
  const out = values.json ? Deno.stderr : Deno.stdout;
  // The launcher names the lock: Dawn's package is in none that every machine fetches.
  const base = join(root, "deno.lock");
  const lock = Deno.env.get("PIXART_LOCK") ?? base;
  const flags = [
    ...["test", "-A", "--no-check", "--quiet", "--config", join(root, "deno.json"), `--lock=${lock}`],
    ...(Deno.env.get("CI") && lock === base && exists(base) ? ["--frozen"] : []),
    ...(values["fail-fast"] ? ["--fail-fast"] : []),
    ...(words.length > 0 ? ["--filter", words[0]] : []),
  ];
  const env = {
    ...(values.backend === undefined ? {} : { PIXART_BACKEND: values.backend }),
    ...(out.isTerminal() ? {} : { NO_COLOR: "1" }),
  };
  const total: Tally = { passed: 0, failed: 0, ignored: 0, failures: [], announced: 0 };
  const isWhole = positionals.length === 0;
  const add = (tally: Tally) => {
    total.passed += tally.passed;
    total.failed += tally.failed;
    total.ignored += tally.ignored;
    total.failures.push(...tally.failures);
  };
  // Each file in a process of its own: lavapipe now and then aborts while a process ends, and must not take other tests along.
  for (const file of testFiles(paths.length > 0 ? paths : [tests])) {
    const tally = await runFile(file, [...flags, file], env, out);
    add(tally);
    if (values["fail-fast"] && tally.failed > 0) break;
  }
  if (isWhole && !(values["fail-fast"] && total.failed > 0)) {
    add(await runFile("docstrings", [...flags, ...EXAMPLES], env, out));
  }
  if (words.length > 0 && total.passed + total.failed + total.ignored === 0) {
    console.error(`pixart: Cannot find a test as its file or name must have "${words[0]}": none has`);
    return 2;
  }
  if (values.json) {
    const seconds = Math.round(performance.now() - started) / 1000;
    console.log(JSON.stringify({ ...total, failures: [...new Set(total.failures)], seconds }));
  }
  (values.json ? console.error : console.log)(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 ? 1 : 0;
}

/** The test files at and below some paths, in order. */
function testFiles(paths: readonly string[]): string[] {
  const found = paths.flatMap((path): string[] => {
    if (!Deno.statSync(path).isDirectory) return [path];
    const entries = [...Deno.readDirSync(path)].filter(({ isDirectory, name }) =>
      isDirectory || /_test\.ts$/.test(name)
    );
    return testFiles(entries.map(({ name }) => join(path, name)).sort());
  });
  return [...new Set(found)];
}

/** The examples of docstrings; an assertion of theirs that fails is an error. */
const EXAMPLES = ["--doc", `--preload=${join(tests, "_examples.ts")}`, "mod.ts", "src"];

/** Runs `deno test` for one file, or what is called so, and streams its words; a run without a summary counts as one failed test. */
async function runFile(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
  out: typeof Deno.stdout,
): Promise<Tally> {
  const options = { cwd: root, env, stdin: "null", stdout: "piped", stderr: "inherit" } as const;
  const child = new Deno.Command(Deno.execPath(), { args: [...args], ...options }).spawn();
  const tally: Tally = { passed: 0, failed: 0, ignored: 0, failures: [], announced: 0 };
  let complete = false;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of child.stdout) {
    for (let left = bytes; left.length > 0;) left = left.subarray(out.writeSync(left));
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      // deno-lint-ignore no-control-regex
      complete = tallyLine(line.replace(/\x1b\[[\d;]*m/g, ""), tally) || complete;
    }
  }
  const { code, signal } = await child.status;
  const aborted = signal === "SIGABRT" || code === 134;
  const allPassed = tally.failed === 0 && tally.passed + tally.ignored >= tally.announced && tally.announced > 0;
  if (aborted && (complete ? tally.failed === 0 : allPassed)) {
    console.error(`pixart: the GPU driver aborted while ${basename(file)} ended, after all of its tests were counted`);
  } else if (!complete || (code !== 0 && tally.failed === 0)) {
    tally.failed++;
    tally.failures.push(basename(file));
    console.error(`pixart: ${basename(file)} ended early with ${signal ?? `exit status ${code}`}`);
  }
  return tally;
}

if (import.meta.main) Deno.exit(await runTests(Deno.args));
