// Bytes behind an http(s) URL, by Range requests. In: a URL. Out: what `probe` finds there, and a ByteSource over it.
// A server that ignores Range sends everything at once; then the answer is kept in memory and read from there.
import { WeightsError } from "../errors.ts";
import { shown } from "./address.ts";
import { type ByteSource, checkRange, memoryFor, type OpenOptions } from "./byte_range.ts";

/** What stands behind a URL: nothing, all of its bytes (no ranges), or its size and version (ranges work). */
export type Found = { missing: string } | { bytes: Uint8Array<ArrayBuffer> } | { size: number; tag: string | null };

const TRIES = 4;
const GONE = [403, 404, 410];

/** Asks for the first byte, which tells the size and whether ranges work. */
export async function probe(url: string, options: OpenOptions & { headOnly?: boolean }): Promise<Found> {
  const response = await ask(url, "bytes=0-0", options);
  const total = /\/(\d+)\s*$/.exec(response.headers.get("content-range") ?? "")?.[1];
  if (response.status === 200 && !options.headOnly) return { bytes: await bodyOf(response, url) };
  await response.body?.cancel();
  if (GONE.includes(response.status)) return { missing: `the server answered ${response.status}` };
  if (response.status === 200) return { size: 0, tag: null };
  // An empty file has no first byte: the answer is 416 with its size, zero.
  if (response.status === 416 && total === "0") return { bytes: new Uint8Array(0) };
  if (response.status !== 206) throw answered(url, response);
  if (total === undefined) {
    throw new WeightsError(
      `Cannot open ${shown(url)} by ranges as the server must say its size: no total in Content-Range`,
    );
  }
  return { size: Number(total), tag: response.headers.get("etag") };
}

/** A ByteSource over a URL whose server honours Range. */
export class HttpBytes implements ByteSource {
  #closed = false;
  readonly #url: string;
  readonly #tag: string | null;
  readonly #options: OpenOptions;
  constructor(url: string, readonly name: string, readonly size: number, tag: string | null, options: OpenOptions) {
    this.#url = url;
    this.#tag = tag;
    this.#options = options;
  }

  async read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.name, this.size, offset, length);
    if (this.#closed) throw new WeightsError(`Cannot read ${this.name} as it was closed before`);
    const bytes = memoryFor(length, into);
    let done = 0;
    // A connection that breaks in the middle goes on where it stopped, as long as each try brings something.
    for (let tries = 1; done < length;) {
      const before = done;
      const response = await ask(this.#url, `bytes=${offset + done}-${offset + length - 1}`, this.#options);
      await this.#check(response, offset + done);
      try {
        for await (const chunk of response.body!) {
          if (done + chunk.length > length) {
            throw new WeightsError(`Cannot read ${length} bytes at ${offset} of ${this.name}: the server sent more`);
          }
          bytes.set(chunk, done);
          done += chunk.length;
        }
      } catch (error) {
        if (error instanceof WeightsError || this.#options.signal?.aborted) throw error;
      }
      tries = done > before ? 1 : tries + 1;
      if (done < length && tries > TRIES) {
        throw new WeightsError(
          `Cannot read ${length} bytes at ${offset} of ${this.name} as the connection broke: ${done} came`,
        );
      }
    }
    return bytes;
  }

  async #check(response: Response, start: number): Promise<void> {
    const range = response.headers.get("content-range");
    const tag = response.headers.get("etag");
    const isSame = tag === null || this.#tag === null || tag === this.#tag;
    if (response.status === 206 && isSame && range?.trim().startsWith(`bytes ${start}-`)) return;
    await response.body?.cancel();
    if (response.status !== 206) throw answered(this.#url, response);
    const state = isSame ? `the server answered "${range}"` : "it changed on the server in between";
    throw new WeightsError(`Cannot read ${this.name} from byte ${start}: ${state}`);
  }

  close(): void {
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function ask(url: string, range: string, options: OpenOptions): Promise<Response> {
  for (let tries = 1;; tries++) {
    const { signal } = options;
    try {
      const response = await fetch(url, { headers: { ...options.headers, range }, signal });
      if (tries === TRIES || (response.status < 500 && response.status !== 429)) return response;
      await response.body?.cancel();
    } catch (error) {
      if (signal?.aborted) throw error;
      // A connection that fails is a TypeError; anything else, such as a missing permission, stays as it is.
      if (tries === TRIES || !(error instanceof TypeError)) {
        throw new WeightsError(`Cannot reach ${shown(url)}: ${(error as Error).message}`, { cause: error });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 200 * 3 ** (tries - 1)));
  }
}

async function bodyOf(response: Response, url: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    const state = (error as Error).message;
    throw new WeightsError(`Cannot read ${shown(url)} at once, as its server knows no ranges: ${state}`, {
      cause: error,
    });
  }
}

function answered(url: string, response: Response): WeightsError {
  return new WeightsError(`Cannot read ${shown(url)}: the server answered ${response.status} ${response.statusText}`);
}
