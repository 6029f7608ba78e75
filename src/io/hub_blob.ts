// One file's bytes on their way into the cache. In: what the hub says of the file. Out: `blobs/<etag>`, which is there only once
// size and hash are right. What came before a break lies in `<etag>.incomplete`, and the next download goes on from there.
import { DownloadError } from "../errors.ts";
import type { ModelCache } from "./hub_cache.ts";
import { diskError, sizeOf } from "./hub_disk.ts";
import { EtagHash } from "./hub_hash.ts";
import { takeLock } from "./hub_lock.ts";
import { type FileFacts, type HubClient, HubTrouble } from "./hub_requests.ts";

/** Where a file comes from, and who wants to know. */
export interface BlobRequest {
  client: HubClient;
  cache: ModelCache;
  id: string;
  commit: string;
  facts: FileFacts;
  signal?: AbortSignal;
  /** Told how many bytes are there more, or fewer after a new start; `fromNetwork` says whether they just came. */
  onBytes(count: number, fromNetwork: boolean): void;
}

const PIECE = 4 * 2 ** 20;

/**
 * Fetches a file into the cache unless it is there.
 *
 * @returns Whether it was there already.
 * @throws {DownloadError} when it cannot be fetched or stored, or is not what the hub said it is.
 */
export async function fetchBlob(request: BlobRequest): Promise<boolean> {
  const { cache, facts, signal } = request;
  const blob = cache.blob(facts.etag);
  try {
    if (await sizeOf(blob) === facts.size) {
      request.onBytes(facts.size, false);
      return true;
    }
    await cache.prepare(facts.etag);
    using lock = await takeLock(cache.lock(facts.etag), signal);
    // Whoever held the lock may have fetched it.
    if (await sizeOf(blob) === facts.size) {
      request.onBytes(facts.size, false);
      return true;
    }
    const suffix = lock.isExclusive ? "" : `.${crypto.randomUUID().slice(0, 8)}`;
    const part = `${blob}${suffix}.incomplete`;
    try {
      await new PartialFile(part, request).complete();
      await Deno.rename(part, blob);
    } finally {
      if (!lock.isExclusive) await Deno.remove(part).catch(() => {});
    }
    return false;
  } catch (error) {
    throw diskError(error, `store ${facts.path} of ${request.id}`, cache.root);
  }
}

/** A file that grows. */
class PartialFile {
  readonly #path: string;
  readonly #request: BlobRequest;
  #hash: EtagHash;
  #done = 0;

  constructor(path: string, request: BlobRequest) {
    this.#path = path;
    this.#request = request;
    this.#hash = this.#newHash();
  }

  #newHash(): EtagHash {
    return new EtagHash(this.#request.facts.etag, this.#request.facts.size);
  }

  /** Fetches what is wanting, and checks the whole. */
  async complete(): Promise<void> {
    const { id, facts: { path, size, etag } } = this.#request;
    using file = await Deno.open(this.#path, { read: true, write: true, create: true });
    await this.#takeUp(file);
    for (let isResumed = this.#done > 0;; isResumed = false) {
      await this.#fetchRest(file);
      if (this.#hash.matches()) break;
      await this.#startAnew(file);
      // What an earlier run left may have been damaged: then the file is worth another try as a whole.
      if (isResumed) continue;
      await Deno.remove(this.#path).catch(() => {});
      const kind = etag.length === 64 ? "sha256" : "git hash";
      throw new DownloadError(
        `Cannot download ${path} of ${id} as its ${kind} must be ${etag}: other bytes came, and they were deleted; ` +
          `try again (${size} bytes)`,
      );
    }
    await file.syncData();
  }

  /** Takes up what an earlier run left. */
  async #takeUp(file: Deno.FsFile): Promise<void> {
    const { facts, signal, onBytes } = this.#request;
    const { size } = await file.stat();
    if (size > facts.size) return await file.truncate(0);
    const piece = new Uint8Array(Math.min(PIECE, size));
    while (this.#done < size) {
      signal?.throwIfAborted();
      const got = await file.read(piece);
      if (!got) break;
      this.#hash.update(piece.subarray(0, got));
      this.#done += got;
      onBytes(got, false);
    }
  }

  async #startAnew(file: Deno.FsFile): Promise<void> {
    this.#request.onBytes(-this.#done, false);
    this.#done = 0;
    this.#hash = this.#newHash();
    await file.truncate(0);
    await file.seek(0, Deno.SeekMode.Start);
  }

  /** Fetches from where it stands to the end, over as many connections as that takes. */
  async #fetchRest(file: Deno.FsFile): Promise<void> {
    const { client, id, commit, facts: { path, size }, onBytes } = this.#request;
    const sink = {
      startAt: async (offset: number) => {
        if (offset !== this.#done) await this.#startAnew(file);
      },
      write: async (bytes: Uint8Array) => {
        if (this.#done + bytes.length > size) {
          await this.#startAnew(file);
          throw new DownloadError(
            `Cannot download ${path} of ${id} as it must have ${size} bytes: the server sends more`,
          );
        }
        for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
        this.#hash.update(bytes);
        this.#done += bytes.length;
        onBytes(bytes.length, true);
      },
    };
    for (let tried = 1; this.#done < size; tried++) {
      const before = this.#done;
      let trouble: HubTrouble;
      try {
        await client.read(id, commit, path, this.#done, sink);
        if (this.#done === size) return;
        trouble = new HubTrouble(
          `Cannot download ${path} of ${id} as it must have ${size} bytes: the connection ended after ${this.#done}; ` +
            "try again, and it goes on from there",
        );
      } catch (error) {
        if (!(error instanceof HubTrouble)) throw error;
        trouble = error;
      }
      if (this.#done > before) tried = 1;
      if (tried >= client.rules.tries) throw trouble;
      await client.pause(tried, trouble);
    }
  }
}
