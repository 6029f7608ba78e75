// The house rules of the source tree, checked on every file. In: src/, shaders/ and mod.ts as text. Out: one line for each
// rule that is broken, with the file that breaks it.

import assert from "node:assert/strict";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";

/** The floors from the ground up. A file imports from its own entry and from lower floors, not from its neighbours'. */
const FLOORS = [
  ["src/errors.ts"],
  ["src/random/"],
  ["src/gpu/"],
  ["src/io/"],
  ["src/ops/"],
  ["src/layers/"],
  ["src/text/", "src/dit/", "src/vae/", "src/schedulers/"],
  ["src/pipelines/", "src/train/", "src/checkpoints/"],
  ["src/verify/", "src/tune/"],
  ["mod.ts", "src/server/"],
  ["src/cli/"],
];

const LONGEST_FILE = 350;

/** The text of every file, by its path from the root. */
type Files = Map<string, string>;

function placeOf(path: string): { floor: number; entry: string } | undefined {
  for (const [floor, entries] of FLOORS.entries()) {
    const entry = entries.find((name) => name.endsWith("/") ? path.startsWith(name) : path === name);
    if (entry) return { floor, entry };
  }
}

/** What a file imports: paths from the root for relative ones, other specifiers as they are. Examples in comments don't count. */
function importsOf(path: string, text: string): string[] {
  const code = text.split("\n").filter((line) => !/^\s*(\/\/|\/\*|\*)/.test(line)).join("\n");
  const found = [
    ...code.matchAll(/^(?:import|export)\b[^;"'`]*\bfrom\s*["']([^"']+)["']/gm),
    ...code.matchAll(/^import\s*["']([^"']+)["']/gm),
    ...code.matchAll(/\bimport\(\s*["'`]([^"'`]+)["'`]/g),
  ].map(([, specifier]) => specifier);
  return found.map((specifier) => {
    return specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(path), specifier)) : specifier;
  });
}

function brokenImports(path: string, imports: string[], files: Files): string[] {
  const place = placeOf(path);
  if (!place) return [`${path} stands on no floor of the house`];
  return imports.flatMap((imported) => {
    if (imported.endsWith(".wgsl")) {
      if (place.entry !== "src/ops/") return [`${path} imports ${imported}, and only src/ops/ imports shaders`];
      return files.has(imported) ? [] : [`${path} imports ${imported}, which is not there`];
    }
    if (!/^(src\/|mod\.ts$|tests\/|bench\/)/.test(imported)) return [];
    const other = placeOf(imported);
    if (!other) return [`${path} imports ${imported}, which stands on no floor of the house`];
    if (other.floor > place.floor) return [`${path} imports upward: ${imported}`];
    if (other.floor === place.floor && other.entry !== place.entry) return [`${path} imports sideways: ${imported}`];
    const missing = imported.endsWith(".ts") && !files.has(imported);
    return missing ? [`${path} imports ${imported}, which is not there`] : [];
  });
}

/** The circles of imports, each told once. */
function cycles(graph: Map<string, string[]>): string[] {
  const told: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string) => {
    if (done.has(path)) return;
    const start = trail.indexOf(path);
    if (start >= 0) {
      told.push(`imports go round: ${[...trail.slice(start), path].join(" -> ")}`);
      return;
    }
    trail.push(path);
    for (const next of graph.get(path) ?? []) visit(next);
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return told;
}

function brokenText(path: string, text: string): string[] {
  const broken: string[] = [];
  const lines = text.trimEnd().split("\n").length;
  if (lines > LONGEST_FILE) broken.push(`${path} has ${lines} lines, and ${LONGEST_FILE} are allowed`);
  if (!/^(\/\/|\/\*)/.test(text)) broken.push(`${path} does not open with a comment`);
  if (!/^[a-z0-9_]+\.(ts|wgsl)$/.test(posix.basename(path))) broken.push(`${path} is not named in snake_case`);
  if (!path.endsWith(".wgsl")) {
    if (text.includes("@compute")) broken.push(`${path} holds WGSL, which belongs in shaders/`);
    return broken;
  }
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*enable\s/.test(line)) broken.push(`${path}:${index + 1} enables a feature, which is the wrapper's to do`);
    if (/\$\{|\{\{/.test(line)) broken.push(`${path}:${index + 1} holds a placeholder`);
  }
  return broken;
}

/** Every rule that the files break. */
function brokenRules(files: Files): string[] {
  const graph = new Map([...files].map(([path, text]) => [path, path.endsWith(".ts") ? importsOf(path, text) : []]));
  const imported = new Set([...graph.values()].flat());
  return [
    ...[...files].flatMap(([path, text]) => brokenText(path, text)),
    ...[...graph].flatMap(([path, imports]) => path.endsWith(".ts") ? brokenImports(path, imports, files) : []),
    ...[...files.keys()].filter((path) => path.endsWith(".wgsl") && !imported.has(path))
      .map((path) => `${path} is imported by no op`),
    ...cycles(graph),
  ];
}

async function readTree(root: string, folder: string, files: Files): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(posix.join(root, folder))) {
    const path = posix.join(folder, name);
    if (isDirectory) await readTree(root, path, files);
    else if (/\.(ts|wgsl)$/.test(name)) files.set(path, await Deno.readTextFile(posix.join(root, path)));
  }
}

Deno.test("the source tree keeps the rules of the house", async () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const files: Files = new Map();
  for (const folder of ["src", "shaders"]) await readTree(root, folder, files);
  for await (const { name } of Deno.readDir(root)) {
    if (name === "mod.ts") files.set(name, await Deno.readTextFile(posix.join(root, name)));
  }
  const broken = brokenRules(files);
  assert.equal(broken.length, 0, `${broken.length} broken:\n${broken.join("\n")}`);
});

const SOUND = {
  "mod.ts": '// Faces.\nexport * from "./src/dit/block.ts";\n',
  "src/dit/block.ts":
    '// A block.\nimport { add } from "../ops/add.ts";\n/**\n * import x from "../vae/y.ts";\n */\nexport { add };\n',
  "src/ops/add.ts":
    '// Adds.\nimport source from "../../shaders/add.wgsl" with { type: "text" };\nexport const add = source;\n',
  "shaders/add.wgsl": "// add\n@compute fn main() {}\n",
};

function brokenBy(change: Record<string, string>): string[] {
  return brokenRules(new Map(Object.entries({ ...SOUND, ...change })));
}

Deno.test("brokenRules() finds nothing in a sound tree", () => {
  assert.deepEqual(brokenBy({}), []);
});

Deno.test("brokenRules() names each rule that is broken", () => {
  const cases: [Record<string, string>, string[]][] = [
    [{ "src/ops/b.ts": '// b\nexport * from "../dit/block.ts";\n' }, ["src/ops/b.ts imports upward: src/dit/block.ts"]],
    [
      { "src/vae/b.ts": '// b\nimport {\n  add,\n} from "../dit/block.ts";\n' },
      ["src/vae/b.ts imports sideways: src/dit/block.ts"],
    ],
    [
      { "src/vae/b.ts": '// b\nconst later = () => import("../dit/block.ts");\n' },
      ["src/vae/b.ts imports sideways: src/dit/block.ts"],
    ],
    [{ "src/odd.ts": "// odd\n" }, ["src/odd.ts stands on no floor of the house"]],
    [
      { "src/vae/b.ts": '// b\nimport "../../tests/x.ts";\n' },
      ["src/vae/b.ts imports tests/x.ts, which stands on no floor of the house"],
    ],
    [{ "src/vae/b.ts": '// b\nimport "./gone.ts";\n' }, ["src/vae/b.ts imports src/vae/gone.ts, which is not there"]],
    [
      { "src/vae/b.ts": '// b\nimport s from "../../shaders/add.wgsl" with { type: "text" };\n' },
      ["src/vae/b.ts imports shaders/add.wgsl, and only src/ops/ imports shaders"],
    ],
    [{ "shaders/sub.wgsl": "// sub\n" }, ["shaders/sub.wgsl is imported by no op"]],
    [{ "shaders/add.wgsl": "fn main() {}\n" }, ["shaders/add.wgsl does not open with a comment"]],
    [
      { "shaders/add.wgsl": "// add\nenable f16;\nconst n = ${n};\nconst m = {{m}};\n" },
      [
        "shaders/add.wgsl:2 enables a feature, which is the wrapper's to do",
        "shaders/add.wgsl:3 holds a placeholder",
        "shaders/add.wgsl:4 holds a placeholder",
      ],
    ],
    [{ "src/vae/b.ts": '// b\nconst s = "@compute";\n' }, ["src/vae/b.ts holds WGSL, which belongs in shaders/"]],
    [{ "src/vae/tooLong.ts": "// b\n".repeat(351) }, [
      "src/vae/tooLong.ts has 351 lines, and 350 are allowed",
      "src/vae/tooLong.ts is not named in snake_case",
    ]],
    [
      { "src/vae/a.ts": '// a\nimport "./b.ts";\n', "src/vae/b.ts": '// b\nimport type { A } from "./a.ts";\n' },
      ["imports go round: src/vae/a.ts -> src/vae/b.ts -> src/vae/a.ts"],
    ],
  ];
  for (const [change, expected] of cases) assert.deepEqual(brokenBy(change), expected);
});
