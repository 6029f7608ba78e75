// Opening by address or from bytes. In: a path, a URL or a ByteSource. Out: what a reader makes of it; the source is closed
// when the reader fails.
import type { ByteSource } from "./byte_range.ts";
import { openBytes, type OpenOptions } from "./byte_source.ts";

/** Opens `from`, unless it is open, and hands it to `read`, whose result owns it from then on. */
export async function withSource<Result>(
  from: string | URL | ByteSource,
  options: OpenOptions,
  read: (source: ByteSource) => Promise<Result>,
): Promise<Result> {
  const source = typeof from === "string" || from instanceof URL ? await openBytes(from, options) : from;
  try {
    return await read(source);
  } catch (error) {
    source.close();
    throw error;
  }
}
