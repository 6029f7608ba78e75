// Models by name. In: a folder, a URL, or `org/name` on the Hugging Face hub. Out: a folder to load from; what is not in the cache
// is downloaded into it first. The cache is the one of Hugging Face's own tools, and shared with them.
import { DownloadError, PixArtError, UsageError } from "../errors.ts";
import { isRemote } from "./address.ts";
import { exists, readJson } from "./byte_source.ts";
import { ModelCache } from "./hub_cache.ts";
import { sizeOf } from "./hub_disk.ts";
import { Download, type DownloadedModel, type ModelChoice } from "./hub_download.ts";
import { chooseFiles, COMPONENTS, type FileChoice, INDEX, shardsOf } from "./hub_files.ts";
import { checkRevision, isCommit, isModelId } from "./hub_names.ts";
import type { DownloadProgress } from "./hub_progress.ts";
import { HubClient, HubTrouble, type RetryRules } from "./hub_requests.ts";
import { hubEndpoint, type HubSettings, hubSettings } from "./hub_settings.ts";
import { isRecord } from "./strict_json.ts";
export type { DownloadedModel } from "./hub_download.ts";
export type { DownloadProgress } from "./hub_progress.ts";
export type { RetryRules } from "./hub_requests.ts";

/** What to take of a model on the hub, and how. What is not given comes from the environment: HF_ENDPOINT, HF_HOME and so on. */
export interface ResolveOptions extends Partial<HubSettings> {
  /** A branch, a tag or a commit. */
  revision?: string;
  /** A component, another folder or a file of the model, or several; the whole pipeline when left out. */
  files?: string | readonly string[];
  /** The infix of another form of the weights, such as `fp16`. */
  variant?: string;
  signal?: AbortSignal;
  onProgress?: (progress: DownloadProgress) => void;
  retry?: Partial<RetryRules>;
}

/**
 * Finds a model: a path or URL is itself, and `org/name` is looked up in the cache and downloaded where something is missing.
 *
 * @returns A folder, or in a browser the model's URL on the hub.
 * @throws {UsageError} when it is no folder, URL or name.
 * @throws {DownloadError} when it is not there, cannot be reached, or cannot be stored.
 * @throws {UsageError} when the revision or a file that was asked for cannot be.
 * @example
 * ```ts
 * import { resolveModel } from "./hub.ts";
 * console.assert(await resolveModel("tests/golden/vae") === "tests/golden/vae");
 * ```
 */
export async function resolveModel(idOrFolder: string, options: ResolveOptions = {}): Promise<string> {
  if (isRemote(idOrFolder) || idOrFolder.startsWith("file:")) return idOrFolder;
  if (typeof globalThis.Deno === "undefined") {
    if (!isModelId(idOrFolder)) return idOrFolder;
    const revision = encodeURIComponent(options.revision ?? "main");
    return `${hubEndpoint(options.endpoint)}/${idOrFolder}/resolve/${revision}`;
  }
  if (await exists(idOrFolder)) return idOrFolder;
  if (!isModelId(idOrFolder)) {
    throw new UsageError(
      `Cannot find model ${idOrFolder} as it must be a folder, a URL, or org/name on the hub: nothing is there`,
    );
  }
  return (await downloadModel(idOrFolder, options)).folder;
}

/**
 * Downloads what is needed of a model and not in the cache yet. A model whose commit is named and which is complete is taken
 * from the cache without asking; the hub is asked what a branch stands for, and where it cannot be reached the cache must do.
 *
 * @param id `org/name`.
 * @param options `partial` passes over chosen folders that the model lacks.
 * @throws {DownloadError} when it is not there, cannot be reached, or cannot be stored.
 * @throws {UsageError} when the revision or a file that was asked for cannot be.
 */
export async function downloadModel(
  id: string,
  options: ResolveOptions & { partial?: boolean } = {},
): Promise<DownloadedModel> {
  const { revision = "main", variant, partial, signal, retry, onProgress } = options;
  if (!isModelId(id)) throw new UsageError(`Cannot download "${id}" as a model's name must be org/name: it is not`);
  checkRevision(revision);
  const settings = hubSettings(options);
  const cache = new ModelCache(settings.cacheDir, id);
  const choice = { files: typeof options.files === "string" ? [options.files] : options.files, variant, partial };
  const commit = await cache.commitOf(revision);
  const { model: cached, wanting } = await cachedModel({ cache, id, revision, commit: commit ?? "", choice });
  if (cached && (settings.offline || (isCommit(revision) && isWhole(cached, choice)))) return cached;
  if (settings.offline) {
    throw new DownloadError(
      `Cannot take ${id} (${revision}) from ${settings.cacheDir} alone as all of it must be there: ${wanting}; ` +
        "unset HF_HUB_OFFLINE to download it",
    );
  }
  let found;
  try {
    // What the cache can stand in for is not worth a long wait.
    found = await new HubClient(settings, { signal, retry }).revision(id, revision, cached ? 1 : undefined);
  } catch (error) {
    if (!cached || !(error instanceof HubTrouble)) throw error;
    return { ...cached, warning: error.message };
  }
  const listing = found.files;
  const model = { cache, id, revision, commit: found.commit, choice, listing };
  return await new Download(model, settings, { signal, retry, onProgress }).run();
}

/** Whether what the cache has is all that the hub has to give: folders that it lacks may only not have been fetched yet. */
function isWhole({ files, missing }: DownloadedModel, choice: FileChoice): boolean {
  if (missing.length === 0 || choice.files !== undefined) return missing.length === 0;
  return !choice.partial && (files.some(({ path }) => path === INDEX) || missing.length === COMPONENTS.length);
}

/** What the cache has of a commit, if that is all that is needed of it; else what is wanting. */
async function cachedModel(named: ModelChoice): Promise<{ model?: DownloadedModel; wanting: string }> {
  const { cache, id, revision, commit, choice } = named;
  const listing = commit === "" ? [] : await cache.filesOf(commit);
  if (listing.length === 0) return { wanting: "nothing of this revision is" };
  try {
    const { paths, indexes, missing } = chooseFiles(id, listing, choice);
    for (const index of indexes) {
      paths.push(...shardsOf(id, index, await readJson(cache.snapshot(commit, index)), listing));
    }
    // A download that was broken off leaves whole components out; the pipeline's index knows them.
    if (choice.files === undefined && !choice.partial && listing.includes(INDEX)) {
      const index = await readJson(cache.snapshot(commit, INDEX));
      const lost = missing.filter((name) => isRecord(index) && Array.isArray(index[name]) && index[name][1] !== null);
      if (lost.length > 0) return { wanting: `${lost.join(", ")} is not` };
    }
    const files = await Promise.all(paths.map(async (path) => {
      return { path, bytes: await sizeOf(cache.snapshot(commit, path)) ?? 0, wasCached: true };
    }));
    const folder = cache.snapshot(commit);
    return { model: { id, revision, commit, folder, files, missing, fetchedBytes: 0 }, wanting: "nothing" };
  } catch (error) {
    if (error instanceof PixArtError) return { wanting: `it is incomplete (${error.message})` };
    throw error;
  }
}
