// Bytes by range. In: a path, a `file:` or `http(s):` URL, or bytes in memory. Out: a ByteSource, whose `read` fetches
// only what is asked for, so that a checkpoint of many gigabytes is never in memory as a whole.
// `Deno` is touched only inside functions: in a browser the same code works on URLs.
import { ConfigError, WeightsError } from "../errors.ts";
import { addressOf, isRemote, pathOf, shown } from "./address.ts";
import { type ByteSource, checkRange, memoryFor, type OpenOptions } from "./byte_range.ts";
import { HttpBytes, probe } from "./http_bytes.ts";
import { parsePythonJson } from "./python_json.ts";
export { folderOf, joinPath } from "./address.ts";
export type { ByteSource, OpenOptions } from "./byte_range.ts";

// One blocking read of this size takes a few milliseconds: between two of them timers and aborts have their turn.
const PIECE = 16 * 2 ** 20;

/**
 * Opens a file or a URL for reading by range.
 *
 * @param pathOrUrl A path, or a URL of the scheme `file:`, `http:`, `https:`, `data:` or `blob:`.
 * @throws {WeightsError} when nothing readable is there.
 * @example
 * ```ts
 * import { openBytes } from "./byte_source.ts";
 * using file = await openBytes("deno.json");
 * const start = await file.read(0, 1);
 * console.assert(start[0] === "{".charCodeAt(0));
 * ```
 */
export async function openBytes(pathOrUrl: string | URL, options: OpenOptions = {}): Promise<ByteSource> {
  const address = addressOf(pathOrUrl);
  if (!isRemote(address)) return openFile(address);
  const found = await probe(address, options);
  if ("missing" in found) throw new WeightsError(`Cannot open ${shown(address)} as a file: ${found.missing}`);
  if ("bytes" in found) return bytesOf(shown(address), found.bytes);
  return new HttpBytes(address, shown(address), found.size, found.tag, options);
}

/**
 * Makes a ByteSource of bytes in memory. What `read` returns are views into them, not copies.
 *
 * @param name What messages call these bytes.
 */
export function bytesOf(name: string, bytes: Uint8Array<ArrayBuffer>): ByteSource {
  let held: Uint8Array<ArrayBuffer> | undefined = bytes;
  const close = () => void (held = undefined);
  const size = bytes.length;
  return {
    name,
    size,
    // `async` so that a range outside the source rejects, as it does for a file.
    // deno-lint-ignore require-await
    async read(offset: number, length: number) {
      checkRange(name, size, offset, length);
      if (!held) throw new WeightsError(`Cannot read ${name} as it was closed before`);
      return held.subarray(offset, offset + length);
    },
    close,
    [Symbol.dispose]: close,
  };
}

/**
 * Reads a whole file or URL into memory.
 *
 * @throws {WeightsError} when nothing readable is there.
 */
export async function readBytes(pathOrUrl: string | URL, options: OpenOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  using source = await openBytes(pathOrUrl, options);
  return await source.read(0, source.size);
}

/**
 * Reads a JSON file or URL; as Python writes it, it may hold NaN, Infinity and -Infinity.
 *
 * @throws {ConfigError} that names the file, when it is not there or is not JSON.
 */
export async function readJson(pathOrUrl: string | URL, options: OpenOptions = {}): Promise<unknown> {
  const name = shown(addressOf(pathOrUrl));
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await readBytes(pathOrUrl, options));
  } catch (error) {
    if (error instanceof TypeError) throw new ConfigError(`Cannot read ${name} as JSON: it is not UTF-8 text`);
    if (error instanceof WeightsError) throw new ConfigError(error.message, { cause: error });
    throw error;
  }
  try {
    return parsePythonJson(text);
  } catch (error) {
    throw new ConfigError(`Cannot read ${name} as JSON: ${(error as Error).message}`);
  }
}

/**
 * Says whether a file, a folder or a URL is there.
 *
 * @throws {WeightsError} when that cannot be found out, for example without permission to look.
 */
export async function exists(pathOrUrl: string | URL, options: OpenOptions = {}): Promise<boolean> {
  const address = addressOf(pathOrUrl);
  if (isRemote(address)) return !("missing" in await probe(address, { ...options, headOnly: true }));
  try {
    await Deno.stat(pathOf(address));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw cannotOpen(address, error);
  }
}

class FileBytes implements ByteSource {
  #file: Deno.FsFile | undefined;
  constructor(file: Deno.FsFile, readonly name: string, readonly size: number) {
    this.#file = file;
  }

  async read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.name, this.size, offset, length);
    const bytes = memoryFor(length, into);
    for (let done = 0; done < length;) {
      const file = this.#file;
      if (!file) throw new WeightsError(`Cannot read ${this.name} as it was closed before`);
      // Seek and read stand together without an await, so that reads that overlap in time cannot move each other's place.
      file.seekSync(offset + done, 0 satisfies Deno.SeekMode.Start);
      const got = file.readSync(bytes.subarray(done, Math.min(length, done + PIECE)));
      if (!got) {
        throw new WeightsError(
          `Cannot read ${length} bytes at ${offset} of ${this.name} as it ended early: ${done} were there`,
        );
      }
      done += got;
      if (done < length) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return bytes;
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function openFile(address: string): Promise<ByteSource> {
  const path = pathOf(address);
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path, { read: true });
    const { isFile, size } = await file.stat();
    if (isFile) return new FileBytes(file, shown(address), size);
  } catch (error) {
    file?.close();
    throw cannotOpen(address, error);
  }
  file.close();
  throw new WeightsError(`Cannot open ${shown(address)} as a file: it is a folder or a device`);
}

function cannotOpen(address: string, error: unknown): WeightsError {
  const missing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
  const state = missing ? "nothing is there" : (error as Error).message;
  return new WeightsError(`Cannot open ${shown(address)} as a file: ${state}`, { cause: error });
}
