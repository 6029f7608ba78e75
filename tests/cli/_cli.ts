// Runs the command line as a process of its own, with permissions as narrow as the launcher gives.

import { fileURLToPath } from "node:url";

/** The checkout. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** What a run left behind. */
export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** How to run. */
export interface CliOptions {
  cwd?: string;
  /** Added to the environment. */
  env?: Record<string, string>;
}

const VARIABLES = "PIXART_*,HF_*,HUGGING*,XDG_*,VK_*,HOME,USERPROFILE,TMPDIR,NO_COLOR,FORCE_COLOR,TERM,COLUMNS,CI";

function command(args: readonly string[], { cwd, env }: CliOptions): Deno.Command {
  const permissions = ["--allow-read", "--allow-write", `--allow-env=${VARIABLES}`];
  const needsDawn = (env?.PIXART_BACKEND ?? Deno.env.get("PIXART_BACKEND") ?? "deno") !== "deno";
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--no-check", "--config", `${ROOT}deno.json`, ...permissions],
      ...["--allow-sys=osRelease,systemMemoryInfo", ...(needsDawn ? ["--allow-ffi"] : [])],
      ...[`${ROOT}src/cli/main.ts`, ...args],
    ],
    cwd,
    env: { XDG_RUNTIME_DIR: "/nonexistent", NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs it to its end. */
export async function pixart(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const { code, stdout, stderr } = await command(args, options).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** Starts it, and sends a signal once stderr has `text` in it. */
export async function pixartStopped(
  args: readonly string[],
  text: string,
  signal: Deno.Signal,
  options: CliOptions = {},
): Promise<CliResult> {
  const child = command(args, options).spawn();
  let stderr = "", sent = false;
  const stdout = new Response(child.stdout).text();
  for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
    stderr += part;
    if (sent || !stderr.includes(text)) continue;
    sent = true;
    child.kill(signal);
  }
  return { code: (await child.status).code, stdout: await stdout, stderr };
}

/** The lines of a text that are not empty. */
export const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");
