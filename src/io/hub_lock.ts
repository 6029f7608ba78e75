// Who downloads a blob. In: the path of a lock file, the same one that Hugging Face's Python library locks. Out: the lock, once
// nobody else holds it.

const LOOK_EVERY_MS = 200;

/** A lock that was taken. */
export interface BlobLock extends Disposable {
  /** Whether others are really kept out: some file systems of networks have no locks. */
  readonly isExclusive: boolean;
}

/** Waits until the lock is free and takes it. The file stays, as others may be waiting for it. */
export async function takeLock(path: string, signal?: AbortSignal): Promise<BlobLock> {
  const file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o664 });
  const isTaken = async (): Promise<boolean | undefined> => {
    try {
      return !await file.tryLock(true);
    } catch {
      return undefined;
    }
  };
  try {
    let state = await isTaken();
    while (state) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      signal?.throwIfAborted();
      state = await isTaken();
    }
    // The lock ends with the file, also when the process dies.
    return { isExclusive: state === false, [Symbol.dispose]: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}
