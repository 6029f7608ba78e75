// How long the first picture takes, from the start of a process of its own: once with empty shader caches, then with what that left.
// In: the backend. Out: both times. The picture is the one of the model that ships with the code.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FirstPicture } from "./report.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const PROMPT = "a red apple on a blue background";

async function paint(folder: string, name: string, backend: string, signal: AbortSignal): Promise<number> {
  const start = performance.now();
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--no-check", "--no-lock", "--config", join(ROOT, "deno.json")],
      ...[join(ROOT, "src/cli/main.ts"), "generate", PROMPT, "--seed", "0"],
      ...["--backend", backend, "--out", join(folder, name)],
    ],
    // Mesa's and NVIDIA's caches of compiled shaders.
    env: { MESA_SHADER_CACHE_DIR: folder, __GL_SHADER_DISK_CACHE_PATH: folder },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal,
  }).output();
  if (code !== 0) throw new Error(`generate exited with ${code}: ${new TextDecoder().decode(stderr).trim()}`);
  return performance.now() - start;
}

/** Paints the picture three times; the faster of the two warm ones counts. */
export async function firstPicture(backend: string, signal: AbortSignal): Promise<FirstPicture> {
  const folder = await Deno.makeTempDir({ prefix: "pixart-bench-" });
  try {
    const coldMs = await paint(folder, "cold.png", backend, signal);
    const warm = [await paint(folder, "a.png", backend, signal), await paint(folder, "b.png", backend, signal)];
    return { coldMs, warmMs: Math.min(...warm), note: "embedded model, 64 px, 20 steps, whole process" };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
