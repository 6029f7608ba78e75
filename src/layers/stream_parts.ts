// Running a network whose weights are larger than the memory for them. In: its parts, in the order in which they run. Out: each part
// on the GPU while it runs, the next one on its way, and none at the end.

import type { WeightSource } from "../io/weights.ts";
import type { LoadOptions, ParameterSet } from "./parameters.ts";

/**
 * Reads parts one after another, runs each, and frees it once its work is done.
 *
 * @param run Records and submits the work of part `index`.
 * @param options With `ahead`, the next part is read while one runs, so that two are on the GPU.
 * @throws Whatever reading throws; no part stays on the GPU.
 */
export async function streamParts(
  parts: readonly ParameterSet[],
  source: WeightSource,
  run: (index: number) => void,
  { ahead, onProgress, signal }: LoadOptions & { ahead: boolean },
): Promise<void> {
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.storedBytes(source));
  const read = async (index: number) => {
    if (index === parts.length) return;
    const before = ends[index - 1] ?? 0;
    await parts[index].read(source, {
      signal,
      onProgress: onProgress && ((loaded) => onProgress(before + loaded, ends.at(-1)!)),
    });
  };
  let next = read(0);
  try {
    for (const [index, part] of parts.entries()) {
      await next;
      run(index);
      if (ahead) next = read(index + 1);
      next.catch(() => {}); // told by the next turn of the loop
      await part.device.gpu.queue.onSubmittedWorkDone();
      part.dispose();
      if (!ahead) next = read(index + 1);
    }
    await next;
  } finally {
    await Promise.allSettled([next]);
    for (const part of parts) part.dispose();
  }
}
