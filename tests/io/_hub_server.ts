// A hub of one's own on this machine, for tests: it answers as Hugging Face's does, large files behind a redirect to a second
// server that stands for the content network, and fails where a test tells it to.

import { createHash } from "node:crypto";

/** One commit of one model. */
export interface FakeModel {
  commit: string;
  /** Branches and tags that are this commit. */
  revisions?: string[];
  files: Record<string, Uint8Array<ArrayBuffer>>;
  /** Who may see it: everyone, those with the token, or those who were let in. */
  access?: "private" | "gated";
}

/** A question as it came. */
export interface Call {
  kind: "api" | "head" | "file" | "store" | "moved";
  model: string;
  /** The file, or the revision for an `api` question. */
  path: string;
  headers: Headers;
  /** How many such questions came before. */
  before: number;
}

/** How to fail. */
export interface Fault {
  /** Answer with this status. */
  status?: number;
  headers?: Record<string, string>;
  /** Send so many bytes, then break the connection off. */
  cutAfter?: number;
  /** End the answer after so many bytes as if that were all. */
  endAfter?: number;
  /** Change the first byte. */
  wrong?: boolean;
  /** Send one byte more. */
  longer?: boolean;
  /** Send everything although a range was asked for. */
  noRange?: boolean;
  /** Send nothing for so long, in milliseconds. */
  silence?: number;
  /** Send in pieces with as many milliseconds between them. */
  slow?: number;
}

const LARGE = /\.(safetensors|bin|pth|model)$/;
const TOKEN = "hf_secret";

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Uint8Array): string => {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
};
/** What a file's blob is called. */
export const etagOf = (path: string, bytes: Uint8Array): string => LARGE.test(path) ? sha256(bytes) : gitHash(bytes);

/** Bytes that differ from file to file. */
export function randomBytes(size: number, seed: number): Uint8Array<ArrayBuffer> {
  let state = seed + 1;
  return Uint8Array.from({ length: size }, () => (state = Math.imul(state, 1103515245) + 12345 >>> 0) >>> 16);
}

export const textBytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** The hub, and the store it sends on to. */
export class FakeHub implements AsyncDisposable {
  readonly calls: Call[] = [];
  readonly token = TOKEN;
  fault: (call: Call) => Fault | undefined = () => undefined;
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #store: Deno.HttpServer<Deno.NetAddr>;
  readonly #closed = new AbortController();

  constructor(readonly models: Record<string, FakeModel>) {
    const serve = (handler: (request: Request) => Response | Promise<Response>) => {
      return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {}, onError: () => new Response() }, handler);
    };
    this.#hub = serve((request) => this.#answer(request));
    this.#store = serve((request) => this.#answerStore(request));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  /** How many questions of a kind came, for a file or in all. */
  count(kind: Call["kind"], path?: string): number {
    return this.calls.filter((call) => call.kind === kind && (path === undefined || call.path === path)).length;
  }

  #note(kind: Call["kind"], model: string, path: string, headers: Headers): Fault | undefined {
    const call = { kind, model, path, headers, before: this.count(kind, path) };
    this.calls.push(call);
    return this.fault(call);
  }

  async #answer({ url, method, headers }: Request): Promise<Response> {
    const path = decodeURIComponent(new URL(url).pathname);
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path);
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)$/.exec(path);
    const id = (api ?? file ?? tree)?.[1] ?? "";
    const kind = file ? (method === "HEAD" ? "head" : "file") : "api";
    const fault = this.#note(kind, id, file?.[3] ?? api?.[2] ?? path, headers);
    if (fault?.silence) await this.#wait(fault.silence);
    if (fault?.status) return new Response(null, { status: fault.status, headers: fault.headers });
    const model = this.models[id];
    const refused = this.#refusal(model, headers);
    if (refused) return refused;
    if (tree) return Response.json(treeOf(model));
    if (api) {
      if (![model.commit, ...model.revisions ?? ["main"]].includes(api[2])) return refuse(404, "RevisionNotFound");
      return Response.json({ id, modelId: id, sha: model.commit, siblings: siblingsOf(model) });
    }
    if (!file) return refuse(404, "RepoNotFound");
    const bytes = model.files[file[3]];
    if (!bytes) return refuse(404, "EntryNotFound");
    const etag = etagOf(file[3], bytes);
    if (!LARGE.test(file[3])) {
      return await this.#send(bytes, method, headers, fault, { etag: `"${etag}"` }, model.commit);
    }
    return new Response(null, {
      status: 302,
      headers: {
        location: `http://localhost:${this.#store.addr.port}/${id}/${file[3]}?Signature=do-not-tell`,
        "x-repo-commit": model.commit,
        "x-linked-etag": `"${etag}"`,
        "x-linked-size": String(bytes.length),
      },
    });
  }

  async #answerStore({ url, method, headers }: Request): Promise<Response> {
    const [, org, name, ...path] = decodeURIComponent(new URL(url).pathname).split("/");
    const id = `${org}/${name}`;
    const fault = this.#note("store", id, path.join("/"), headers);
    if (fault?.silence) await this.#wait(fault.silence);
    if (fault?.status) return new Response(null, { status: fault.status, headers: fault.headers });
    const bytes = this.models[id].files[path.join("/")];
    return await this.#send(bytes, method, headers, fault, { etag: '"of-the-store"' }, this.models[id].commit);
  }

  #refusal(model: FakeModel | undefined, headers: Headers): Response | undefined {
    const isKnown = headers.get("authorization") === `Bearer ${TOKEN}`;
    if (headers.has("authorization") && !isKnown) return refuse(401, "");
    if (!model) return refuse(isKnown ? 404 : 401, "RepoNotFound");
    if (model.access === "private" && !isKnown) return refuse(401, "RepoNotFound");
    if (model.access === "gated") return refuse(isKnown ? 403 : 401, "GatedRepo");
  }

  #send(
    whole: Uint8Array<ArrayBuffer>,
    method: string,
    asked: Headers,
    fault: Fault | undefined,
    own: Record<string, string>,
    commit: string,
  ): Response {
    const range = fault?.noRange ? null : /^bytes=(\d+)-(\d*)$/.exec(asked.get("range") ?? "");
    const start = range ? Number(range[1]) : 0;
    if (range && start >= whole.length) return new Response(null, { status: 416 });
    const end = range?.[2] ? Number(range[2]) + 1 : whole.length;
    let bytes = whole.slice(start, end);
    if (fault?.wrong) bytes[0] ^= 1;
    if (fault?.longer) bytes = new Uint8Array([...bytes, 0]);
    const stop = fault?.cutAfter ?? fault?.endAfter ?? bytes.length;
    const headers: Record<string, string> = { ...own, "x-repo-commit": commit, "accept-ranges": "bytes" };
    if (range) headers["content-range"] = `bytes ${start}-${whole.length - 1}/${whole.length}`;
    if (fault?.endAfter === undefined) headers["content-length"] = String(bytes.length);
    const status = range ? 206 : 200;
    if (method === "HEAD") return new Response(null, { status, headers });
    const pieces = async function* (this: FakeHub) {
      const step = fault?.slow ? Math.ceil(bytes.length / 20) : stop || 1;
      for (let at = 0; at < stop; at += step) {
        if (fault?.slow) await this.#wait(fault.slow);
        yield bytes.subarray(at, Math.min(at + step, stop));
      }
      if (fault?.cutAfter !== undefined) {
        await this.#wait(20); // so that what was sent arrives first
        throw new Error("cut");
      }
    };
    return new Response(ReadableStream.from(pieces.call(this)), { status, headers });
  }

  async #wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#closed.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await Promise.all([this.#hub.shutdown(), this.#store.shutdown()]);
  }
}

const refuse = (status: number, code: string) => {
  return new Response(null, { status, headers: code === "" ? {} : { "x-error-code": code } });
};
const siblingsOf = ({ files }: FakeModel) => Object.keys(files).map((rfilename) => ({ rfilename }));

/** What Python's library asks for besides. */
function treeOf({ files }: FakeModel) {
  return Object.entries(files).map(([path, bytes]) => {
    const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 128 };
    return { type: "file", oid: gitHash(bytes), size: bytes.length, path, ...(LARGE.test(path) ? { lfs } : {}) };
  });
}

/** A pipeline as releases have it, with what nobody needs among its files. */
export function fakePipeline(seed = 0): Record<string, Uint8Array<ArrayBuffer>> {
  const json = (value: unknown) => textBytes(JSON.stringify(value));
  const shard = (number: number) => `model-0000${number}-of-00002.safetensors`;
  return {
    ".gitattributes": textBytes("*.bin filter=lfs\n"),
    "README.md": textBytes("# A model\n"),
    "model_index.json": json({
      _class_name: "PixArtSigmaPipeline",
      scheduler: ["diffusers", "DPMSolverMultistepScheduler"],
      text_encoder: ["transformers", "T5EncoderModel"],
      tokenizer: ["transformers", "T5Tokenizer"],
      transformer: ["diffusers", "PixArtTransformer2DModel"],
      vae: ["diffusers", "AutoencoderKL"],
      feature_extractor: [null, null],
    }),
    "scheduler/scheduler_config.json": json({ num_train_timesteps: 1000 }),
    "text_encoder/config.json": json({ d_model: 8 }),
    [`text_encoder/${shard(1)}`]: randomBytes(70_000, seed + 1),
    [`text_encoder/${shard(2)}`]: randomBytes(50_000, seed + 2),
    "text_encoder/model.safetensors.index.json": json({
      metadata: { total_size: 120_000 },
      weight_map: { a: shard(1), b: shard(2), c: shard(2) },
    }),
    "text_encoder/flax_model.msgpack": randomBytes(100, seed + 3),
    "tokenizer/special_tokens_map.json": json({ eos_token: "</s>" }),
    "tokenizer/spiece.model": randomBytes(900, seed + 4),
    "tokenizer/tokenizer.json": json({ version: "1.0" }),
    "tokenizer/tokenizer_config.json": json({ model_max_length: 300 }),
    "transformer/config.json": json({ num_layers: 1, seed }),
    "transformer/diffusion_pytorch_model.bin": randomBytes(100, seed + 5),
    "transformer/diffusion_pytorch_model.fp16.safetensors": randomBytes(20_000, seed + 6),
    "transformer/diffusion_pytorch_model.safetensors": randomBytes(200_000, seed + 7),
    "vae/config.json": json({ latent_channels: 4 }),
    "vae/diffusion_pytorch_model.safetensors": randomBytes(30_000, seed + 8),
    "vae/model.onnx": randomBytes(100, seed + 9),
  };
}

/** Of {@linkcode fakePipeline}, what is needed. */
export const NEEDED: readonly string[] = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "text_encoder/config.json",
  "text_encoder/model-00001-of-00002.safetensors",
  "text_encoder/model-00002-of-00002.safetensors",
  "text_encoder/model.safetensors.index.json",
  "tokenizer/special_tokens_map.json",
  "tokenizer/spiece.model",
  "tokenizer/tokenizer_config.json",
  "transformer/config.json",
  "transformer/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
];
