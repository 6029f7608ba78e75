// One model in Hugging Face's cache, laid out so that other tools share it: `blobs/<hash>` holds the bytes, `snapshots/<commit>/`
// names them by links, `refs/<revision>` says which commit a name stands for. In and out: paths on disk.
// All writes are atomic, and none needs a lock: a blob, link or ref that another process put there is as good as one's own.
import { folderOf, joinPath } from "./address.ts";
import { isCommit, isSafePath } from "./hub_names.ts";
import { isMissing, sizeOf } from "./hub_disk.ts";

// The first line is the standard's; see https://bford.info/cachedir/
const CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Downloaded models: backups may leave them out.\n";

/** The folder of one model in a cache. */
export class ModelCache {
  readonly root: string;
  readonly #cacheDir: string;
  readonly #name: string;

  /** @param cacheDir The folder of all models. */
  constructor(cacheDir: string, id: string) {
    this.#cacheDir = cacheDir;
    this.#name = `models--${id.replaceAll("/", "--")}`;
    this.root = joinPath(cacheDir, this.#name);
  }

  blob(etag: string): string {
    return joinPath(this.root, "blobs", etag);
  }

  snapshot(commit: string, ...path: string[]): string {
    return joinPath(this.root, "snapshots", commit, ...path);
  }

  /** The file that whoever downloads a blob holds a lock on. */
  lock(etag: string): string {
    return joinPath(this.#cacheDir, ".locks", this.#name, `${etag}.lock`);
  }

  /** Makes the folders that a blob needs. */
  async prepare(etag: string): Promise<void> {
    await Deno.mkdir(joinPath(this.root, "blobs"), { recursive: true });
    await Deno.mkdir(folderOf(this.lock(etag)), { recursive: true });
    await Deno.writeTextFile(joinPath(this.#cacheDir, "CACHEDIR.TAG"), CACHE_TAG, { createNew: true }).catch(() => {});
  }

  /** The commit that a revision was when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    try {
      const commit = (await Deno.readTextFile(joinPath(this.root, "refs", revision))).trim();
      return isCommit(commit) ? commit : undefined;
    } catch (error) {
      if (isMissing(error) || error instanceof Deno.errors.IsADirectory) return undefined;
      throw error;
    }
  }

  /** Notes which commit a revision is. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit || await this.commitOf(revision) === commit) return;
    const path = joinPath(this.root, "refs", revision);
    await Deno.mkdir(folderOf(path), { recursive: true });
    const part = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
    await Deno.writeTextFile(part, commit);
    await Deno.rename(part, path);
  }

  /** The paths of the files of a snapshot whose bytes are there, sorted. */
  async filesOf(commit: string): Promise<string[]> {
    const found: string[] = [];
    const walk = async (folder: string) => {
      for await (const { name, isDirectory } of Deno.readDir(this.snapshot(commit, folder))) {
        const path = folder === "" ? name : `${folder}/${name}`;
        if (!isSafePath(path)) continue;
        if (isDirectory) await walk(path);
        else if (await sizeOf(this.snapshot(commit, path)) !== undefined) found.push(path);
      }
    };
    try {
      await walk("");
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    return found.sort();
  }

  /** Names a blob in a snapshot: by a link that moves with the cache, or where there are none by a copy. */
  async link(commit: string, path: string, etag: string): Promise<void> {
    const place = this.snapshot(commit, path);
    await Deno.mkdir(folderOf(place), { recursive: true });
    for (let tries = 0; tries < 3; tries++) {
      try {
        const target = `${"../".repeat(path.split("/").length + 1)}blobs/${etag}`;
        return await Deno.symlink(target, place, { type: "file" });
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) return await this.#copy(etag, place);
        if (await sizeOf(place) !== undefined) return;
        // A link whose blob was removed.
        await Deno.remove(place).catch(() => {});
      }
    }
  }

  /** A second name for the bytes, or a second copy where the file system has no names to spare. */
  async #copy(etag: string, place: string): Promise<void> {
    const part = `${place}.${crypto.randomUUID().slice(0, 8)}.tmp`;
    try {
      await Deno.link(this.blob(etag), part);
    } catch {
      await Deno.copyFile(this.blob(etag), part);
    }
    await Deno.rename(part, place);
  }
}
