// `pixart download`: a model from the hub into the cache. In: a preset or `org/name`. Out: where it is, and what came.

import { UsageError } from "../errors.ts";
import { formatBytes } from "../io/byte_words.ts";
import { downloadModel, type DownloadProgress } from "../io/hub.ts";
import { isModelId } from "../io/hub_names.ts";
import { downloadPreset, findPreset, type FoundModel, PRESETS } from "../pipelines/presets.ts";
import { cancellable } from "./cancel.ts";
import type { Output } from "./output.ts";
import { formatSeconds, Progress } from "./progress.ts";

/** The options of the command line, by their long names. */
export interface DownloadFlags {
  revision?: string;
  component?: string[];
  variant?: string;
  cacheDir?: string;
}

/** What is on stdout with --json. */
export interface DownloadReport {
  /** The name that was asked for. */
  model: string;
  /** The folder or file to load. */
  path: string;
  parts: FoundModel["parts"];
  /** Bytes of the files that were asked for, and of them those that came over the network. */
  bytes: { total: number; fetched: number };
  seconds: number;
}

/** `3.1 GB of 21.8 GB, 50.2 MB/s, 6 min 12 s left`. */
function notesOf({ loaded, total, bytesPerSecond, secondsLeft }: DownloadProgress): string {
  const speed = bytesPerSecond > 0 ? `, ${formatBytes(bytesPerSecond)}/s` : "";
  const left = secondsLeft ? `, ${formatSeconds(secondsLeft)} left` : "";
  return `${formatBytes(loaded)} of ${formatBytes(total)}${speed}${left}`;
}

/**
 * Downloads a model.
 *
 * @param name A preset or `org/name`.
 * @throws {UsageError} when it is neither, or an option cannot be carried out.
 * @throws {CancelledError} when the user stopped it; what came is kept, and the next run goes on from there.
 */
export async function download(name: string, flags: DownloadFlags, output: Output): Promise<void> {
  const started = performance.now();
  const { revision, component: files, variant, cacheDir } = flags;
  const preset = findPreset(name);
  if (!preset && !isModelId(name)) {
    const names = PRESETS.map(({ name }) => name).join(", ");
    throw new UsageError(
      `Cannot download ${name} as it must be org/name on the hub, or one of ${names}: it is neither`,
    );
  }
  const { path, parts } = await cancellable("download", async (signal): Promise<FoundModel> => {
    using bar = new Progress("downloading ");
    const onProgress = (progress: DownloadProgress) =>
      bar.show(`${progress.model}:`, progress.loaded, progress.total, notesOf(progress));
    const options = { revision, files, variant, cacheDir, signal, onProgress };
    if (preset) return await downloadPreset(preset, options);
    const model = await downloadModel(name, options);
    return { path: model.folder, parts: [model] };
  });
  for (const { warning } of parts) if (warning) output.log(`warning: ${warning}; what is in the cache must do`);
  const all = parts.flatMap(({ files }) => files);
  const total = all.reduce((sum, { bytes }) => sum + bytes, 0);
  const fetched = parts.reduce((sum, { fetchedBytes }) => sum + fetchedBytes, 0);
  const seconds = Math.round(performance.now() - started) / 1000;
  const span = seconds < 10 ? `${seconds.toFixed(1)} s` : formatSeconds(seconds);
  const speed = fetched > 0 ? `, ${formatBytes(fetched / seconds)}/s` : "";
  output.log(
    `${all.length === 1 ? "1 file" : `${all.length} files`}, ${formatBytes(total)}; ${
      formatBytes(fetched)
    } of it came in ${span}${speed}`,
  );
  output.print(path);
  const report: DownloadReport = { model: name, path, parts, bytes: { total, fetched }, seconds };
  output.document(report);
}
