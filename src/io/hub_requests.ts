// What the hub is asked, over HTTP. In: a model, a revision, a file. Out: its commit and files, what is known of a file before it
// is fetched, and its bytes from any place on. Passing trouble is told apart from refusals: only the former is worth another try.
import { DownloadError } from "../errors.ts";
import { refusal } from "./hub_refusals.ts";
import type { HubSettings } from "./hub_settings.ts";
import { isCommit } from "./hub_names.ts";
import { isRecord } from "./strict_json.ts";

/** How long to bear with a hub or a network that fails. */
export interface RetryRules {
  /** How many times in a row a thing may fail. */
  tries: number;
  /** Milliseconds before the second try; twice as many before each further one. */
  pauseMs: number;
  /** Milliseconds without a byte after which a connection counts as broken. */
  silenceMs: number;
}

/** The rules when none are given. */
export const RETRY_RULES: Readonly<RetryRules> = { tries: 5, pauseMs: 500, silenceMs: 30_000 };

const LONGEST_PAUSE_MS = 20_000;
// What a server may ask for; it counts its limits in windows of five minutes.
const LONGEST_WAIT_MS = 310_000;
const MOST_REDIRECTS = 8;

/** Trouble that may pass: no connection, a broken one, a server that is busy or ill. */
export class HubTrouble extends DownloadError {
  /** @param waitMs How long the server asks to wait. */
  constructor(message: string, options?: ErrorOptions, readonly waitMs?: number) {
    super(message, options);
  }
}

/** What is known of a file before it is fetched. */
export interface FileFacts {
  path: string;
  /** Bytes. */
  size: number;
  /** The sha256 of the file, or git's sha1 of it; the name of its blob. */
  etag: string;
}

/** Takes a file's bytes. */
export interface ByteSink {
  /** Says which byte of the file comes next: the one asked for, or the first where the server knows no ranges. */
  startAt(offset: number): Promise<void>;
  write(bytes: Uint8Array): Promise<void>;
}

/** Aborts a request when nothing comes for too long. */
class Watch implements Disposable {
  readonly #controller = new AbortController();
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly signal: AbortSignal;

  constructor(ms: number, outer: AbortSignal | undefined) {
    this.#ms = ms;
    this.signal = outer ? AbortSignal.any([outer, this.#controller.signal]) : this.#controller.signal;
    this.somethingCame();
  }

  somethingCame(): void {
    clearTimeout(this.#timer);
    const silence = new DOMException(`nothing came for ${this.#ms / 1000} s`, "TimeoutError");
    this.#timer = setTimeout(() => this.#controller.abort(silence), this.#ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** The address without its query, which may hold a signature. */
const bare = (text: string) => text.replace(/\?[^\s)"]*/g, "");

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const deepest = cause instanceof Error ? cause.message : message;
  return bare(deepest).replace(/^error sending request for url \([^)]*\): /, "");
}

/** What a text is as JSON; undefined for a page that a network puts in the hub's place. */
function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}

/** Asks the hub for one person's models. */
export class HubClient {
  readonly #settings: HubSettings;
  readonly #signal: AbortSignal | undefined;
  readonly rules: RetryRules;

  constructor(settings: HubSettings, { signal, retry }: { signal?: AbortSignal; retry?: Partial<RetryRules> } = {}) {
    this.#settings = settings;
    this.#signal = signal;
    this.rules = { ...RETRY_RULES, ...retry };
  }

  /**
   * Asks which commit a revision is, and which files it has.
   *
   * @param tries How often to try; as the rules say when left out.
   * @throws {DownloadError} when the hub refuses, or cannot be reached.
   */
  async revision(id: string, revision: string, tries = this.rules.tries): Promise<{ commit: string; files: string[] }> {
    const url = `${this.#settings.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}`;
    const text = await this.#retrying(tries, async () => {
      using watch = new Watch(this.rules.silenceMs, this.#signal);
      const response = await this.#follow(url, { id, revision }, watch, {});
      return await this.#reading(url, () => response.text());
    });
    const json = parsed(text);
    const files = isRecord(json) && Array.isArray(json.siblings)
      ? json.siblings.map((one) => isRecord(one) ? one.rfilename : undefined).filter((one) => typeof one === "string")
      : [];
    if (isRecord(json) && typeof json.sha === "string" && isCommit(json.sha) && files.length > 0) {
      return { commit: json.sha, files };
    }
    throw new DownloadError(`Cannot read ${bare(url)} as the hub must name a commit and its files: it names none`);
  }

  /**
   * Asks for the size and the hash of a file.
   *
   * @throws {DownloadError} when the hub refuses, cannot be reached, or names no hash that the file can be checked against.
   */
  async facts(id: string, commit: string, path: string): Promise<FileFacts> {
    const url = this.#fileUrl(id, commit, path);
    const { headers } = await this.#retrying(this.rules.tries, async () => {
      using watch = new Watch(this.rules.silenceMs, this.#signal);
      return await this.#follow(url, { id, revision: commit, path }, watch, { method: "HEAD" });
    });
    const etag = (headers.get("x-linked-etag") ?? headers.get("etag") ?? "").replace(/^W\//, "").replace(/"/g, "");
    const size = headers.get("x-linked-size") ?? headers.get("content-length") ?? "";
    const cannot = `Cannot download ${path} of ${id} as the hub must state`;
    if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) {
      throw new DownloadError(`${cannot} its sha256 or git's hash of it: its etag is "${etag}"`);
    }
    if (!/^\d{1,15}$/.test(size)) throw new DownloadError(`${cannot} its size: it states "${size}"`);
    return { path, size: Number(size), etag };
  }

  /**
   * Asks once for the bytes of a file and passes them on as they come.
   *
   * @param from The first byte to ask for.
   * @throws {HubTrouble} when the connection breaks, whatever has come by then.
   */
  async read(id: string, commit: string, path: string, from: number, sink: ByteSink): Promise<void> {
    const url = this.#fileUrl(id, commit, path);
    using watch = new Watch(this.rules.silenceMs, this.#signal);
    const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    const response = await this.#follow(url, { id, revision: commit, path }, watch, { headers });
    const range = response.headers.get("content-range");
    if (response.status === 206 && !range?.startsWith(`bytes ${from}-`)) {
      await response.body?.cancel();
      throw new HubTrouble(`Cannot download ${path} of ${id} from byte ${from}: the server sends "${range}"`);
    }
    await sink.startAt(response.status === 206 ? from : 0);
    const reader = response.body?.getReader();
    try {
      for (;;) {
        // Only what the network does is trouble that may pass; what the disk does stays as it is.
        const part = await this.#reading(url, () => reader?.read());
        if (!part || part.done) return;
        watch.somethingCame();
        await sink.write(part.value);
      }
    } finally {
      await reader?.cancel().catch(() => {});
    }
  }

  /** Waits before the next try, as long as the server asks or the rules say. */
  async pause(tried: number, trouble: HubTrouble): Promise<void> {
    const { pauseMs } = this.rules;
    // A little chance, so that many who failed together don't come back together.
    const own = Math.min(pauseMs * 2 ** (tried - 1), LONGEST_PAUSE_MS) * (0.75 + 0.5 * Math.random());
    if ((trouble.waitMs ?? 0) > LONGEST_WAIT_MS) throw trouble;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(this.#signal?.reason);
    const timer = setTimeout(resolve, trouble.waitMs ?? own);
    this.#signal?.addEventListener("abort", onAbort);
    try {
      this.#signal?.throwIfAborted();
      await promise;
    } finally {
      clearTimeout(timer);
      this.#signal?.removeEventListener("abort", onAbort);
    }
  }

  #fileUrl(id: string, commit: string, path: string): string {
    return `${this.#settings.endpoint}/${id}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  async #retrying<T>(tries: number, work: () => Promise<T>): Promise<T> {
    for (let tried = 1;; tried++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof HubTrouble) || tried >= tries) throw error;
        await this.pause(tried, error);
      }
    }
  }

  /** Does what may fail as networks do. */
  async #reading<T>(url: string, work: () => Promise<T> | undefined): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#signal?.throwIfAborted();
      // A permission that Deno was not given is no trouble of the network.
      if (error instanceof Error && error.name === "NotCapable") throw error;
      throw new HubTrouble(
        `Cannot reach ${new URL(url).host} as it must answer: ${
          reasonOf(error)
        }; check the network, or name a mirror in ` +
          "HF_ENDPOINT",
        { cause: error },
      );
    }
  }

  /** Asks, and follows redirects; the token goes to the hub only. A HEAD ends where the file's facts are. */
  async #follow(
    start: string,
    asked: { id: string; revision: string; path?: string },
    watch: Watch,
    { method = "GET", headers }: { method?: string; headers?: Record<string, string> },
  ): Promise<Response> {
    const { endpoint, token } = this.#settings;
    let url = start;
    for (let redirects = 0;; redirects++) {
      const isHub = new URL(url).origin === new URL(endpoint).origin;
      const sent = {
        ...headers,
        "accept-encoding": "identity", // sizes and ranges are those of the file itself
        ...(isHub && token !== undefined ? { authorization: `Bearer ${token}` } : {}),
      };
      const response = await this.#reading(url, () => {
        return fetch(url, { method, headers: sent, redirect: "manual", signal: watch.signal });
      }) as Response;
      const { status } = response;
      const isRedirect = status >= 300 && status < 400 && response.headers.has("location");
      if (
        (status >= 200 && status < 300) || (isRedirect && method === "HEAD" && response.headers.has("x-linked-etag"))
      ) {
        return response;
      }
      await response.body?.cancel();
      if (!isRedirect) {
        const { message, waitMs, mayPass } = refusal(response, {
          ...asked,
          url: bare(url),
          hasToken: token !== undefined,
        });
        throw mayPass ? new HubTrouble(message, undefined, waitMs) : new DownloadError(message);
      }
      const next = new URL(response.headers.get("location")!, url);
      const isWorse = new URL(url).protocol === "https:" && next.protocol !== "https:";
      if (redirects >= MOST_REDIRECTS || isWorse) {
        const state = isWorse ? `it sends on to ${next.protocol}//${next.host}` : "it sends on again and again";
        throw new DownloadError(`Cannot download ${bare(url)} as the hub must lead to it safely: ${state}`);
      }
      watch.somethingCame();
      url = next.href;
    }
  }
}
