// The way of one model into the cache. In: a commit, the paths of its files, what to take of them. Out: a snapshot with all that
// is needed, several files at once; the first one that fails stops the others.
import { readJson } from "./byte_source.ts";
import { fetchBlob } from "./hub_blob.ts";
import type { ModelCache } from "./hub_cache.ts";
import { diskError, sizeOf } from "./hub_disk.ts";
import { chooseFiles, type ChosenFiles, type FileChoice, INDEX, shardsOf } from "./hub_files.ts";
import { type DownloadProgress, DownloadTally } from "./hub_progress.ts";
import { type FileFacts, HubClient, type RetryRules } from "./hub_requests.ts";
import type { HubSettings } from "./hub_settings.ts";

/** A model in the cache. */
export interface DownloadedModel {
  id: string;
  revision: string;
  commit: string;
  /** The folder with the files. */
  folder: string;
  /** The files that were asked for, and whether they were in the cache before. */
  files: { path: string; bytes: number; wasCached: boolean }[];
  /** Components, and where that was allowed chosen folders, that the model lacks. */
  missing: string[];
  /** Bytes that came over the network. */
  fetchedBytes: number;
  /** Why the cache alone was used although the hub should have been asked. */
  warning?: string;
}

/** A commit of a model, and what to take of it. */
export interface ModelChoice {
  cache: ModelCache;
  id: string;
  revision: string;
  commit: string;
  choice: FileChoice;
}

/** How to download. */
export interface DownloadOptions {
  signal?: AbortSignal;
  retry?: Partial<RetryRules>;
  onProgress?: (progress: DownloadProgress) => void;
}

/** How many files come at once. */
const AT_ONCE = 4;
// Questions about files are short, and a pipeline has some twenty files.
const QUESTIONS_AT_ONCE = 8;

/** Fetches what is needed. */
export class Download {
  readonly #model: ModelChoice & { listing: readonly string[] };
  readonly #client: HubClient;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #onProgress: ((progress: DownloadProgress) => void) | undefined;
  #done: DownloadedModel["files"] = [];
  #fetchedBytes = 0;

  /** @param model With the paths of all its files. */
  constructor(
    model: ModelChoice & { listing: readonly string[] },
    settings: HubSettings,
    { signal, retry, onProgress }: DownloadOptions,
  ) {
    this.#model = model;
    this.#signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    this.#client = new HubClient(settings, { signal: this.#signal, retry });
    this.#onProgress = onProgress;
  }

  async run(): Promise<DownloadedModel> {
    const { cache, id, revision, commit, choice, listing } = this.#model;
    const chosen = chooseFiles(id, listing, choice);
    // The pipeline's index comes first, so that whatever breaks off, the cache knows what belongs to the model.
    const first = chosen.paths.filter((path) => path === INDEX || chosen.indexes.includes(path));
    await this.#fetch(first, false);
    const rest = new Set(chosen.paths.filter((path) => !first.includes(path)));
    for (const shard of await this.#shards(chosen)) rest.add(shard);
    await this.#fetch([...rest], true);
    try {
      await cache.setCommit(revision, commit);
    } catch (error) {
      // A cache that is complete may be one that nobody may write to.
      if (this.#done.some(({ wasCached }) => !wasCached)) {
        throw diskError(error, `note the revision of ${id}`, cache.root);
      }
    }
    const { missing } = chosen;
    const folder = cache.snapshot(commit);
    return { id, revision, commit, folder, files: this.#done, missing, fetchedBytes: this.#fetchedBytes };
  }

  async #shards({ indexes }: ChosenFiles): Promise<string[]> {
    const { cache, id, commit, listing } = this.#model;
    const lists = indexes.map(async (index) =>
      shardsOf(id, index, await readJson(cache.snapshot(commit, index)), listing)
    );
    return (await Promise.all(lists)).flat();
  }

  async #fetch(paths: readonly string[], tells: boolean): Promise<void> {
    const { cache, id, commit } = this.#model;
    const wanted: string[] = [];
    let cachedBytes = 0;
    for (const path of paths) {
      const bytes = await sizeOf(cache.snapshot(commit, path));
      if (bytes === undefined) wanted.push(path);
      else {
        cachedBytes += bytes;
        this.#done.push({ path, bytes, wasCached: true });
      }
    }
    const facts = await this.#each(QUESTIONS_AT_ONCE, wanted, (path) => this.#client.facts(id, commit, path));
    const total = facts.reduce((sum, { size }) => sum + size, cachedBytes);
    const tally = new DownloadTally(id, total, tells ? this.#onProgress : undefined);
    if (cachedBytes > 0) tally.add(paths[0], cachedBytes, false);
    // Files of the same content are one blob.
    const blobs = Map.groupBy(facts, ({ etag }) => etag);
    try {
      await this.#each(AT_ONCE, [...blobs.values()], (same) => this.#fetchBlob(same, tally));
    } finally {
      this.#fetchedBytes += tally.fetched;
    }
  }

  async #fetchBlob(same: readonly FileFacts[], tally: DownloadTally): Promise<void> {
    const { cache, id, commit } = this.#model;
    const [facts, ...others] = same;
    const { path } = facts;
    const wasCached = await fetchBlob({
      ...{ client: this.#client, cache, id, commit, facts, signal: this.#signal },
      onBytes: (count, fromNetwork) => tally.add(path, count, fromNetwork),
    });
    for (const { size } of others) tally.add(path, size, false);
    for (const { path, size, etag } of same) {
      try {
        await cache.link(commit, path, etag);
      } catch (error) {
        throw diskError(error, `store ${path} of ${id}`, cache.root);
      }
      this.#done.push({ path, bytes: size, wasCached });
    }
  }

  /** Does work for each item, a few at once. */
  async #each<T, U>(atOnce: number, items: readonly T[], work: (item: T) => Promise<U>): Promise<U[]> {
    const results: U[] = new Array(items.length);
    let next = 0;
    const worker = async () => {
      while (next < items.length) {
        this.#signal.throwIfAborted();
        const at = next++;
        results[at] = await work(items[at]);
      }
    };
    const workers = Array.from({ length: Math.min(atOnce, items.length) }, () => {
      return worker().catch((error) => {
        this.#stop.abort(error);
        throw error;
      });
    });
    // Nothing may still be written to when the caller hears of the failure.
    await Promise.allSettled(workers);
    this.#signal.throwIfAborted();
    return results;
  }
}
