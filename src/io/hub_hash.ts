// The hash that names a file on the hub, taken as the bytes come. In: an etag, a size, bytes. Out: whether they belong together.

interface Hash {
  update(bytes: Uint8Array | string): Hash;
  digest(encoding: "hex"): string;
}

// The browser's own hashes take only whole files, and a checkpoint is too large for that. Asked for in this way, no bundler
// tries to put Node's module into a browser's bundle, where nothing is ever stored.
function createHash(algorithm: string): Hash {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: "node:crypto"): { createHash(algorithm: string): Hash } };
  };
  return process.getBuiltinModule("node:crypto").createHash(algorithm);
}

/** Checks a file against its etag: the sha256 of a large file, or git's sha1 of a small one. */
export class EtagHash {
  readonly #etag: string;
  readonly #hash: Hash;

  /** @param size The file's size in bytes, which git's hash begins with. */
  constructor(etag: string, size: number) {
    this.#etag = etag;
    this.#hash = etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** Whether the bytes so far are the file. Ends the hash. */
  matches(): boolean {
    return this.#hash.digest("hex") === this.#etag;
  }
}
