// Ctrl-C. In: the signals of the system. Out: an AbortSignal, and an end within a few seconds whatever the work does.

import { CancelledError } from "./output.ts";

// Work notices the abort within one step; on a slow device a step may take longer than anyone wants to wait.
const GRACE_MS = 3000;

const SIGNALS: Partial<Record<Deno.Signal, number>> = Deno.build.os === "windows"
  ? { SIGINT: 2 }
  : { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 };

/**
 * Does work that the system's signals can stop. The first signal aborts it, and it has a short time to end in good order; a
 * second one ends it at once.
 *
 * @param what What is stopped, for the message: `generate`.
 * @param work Told when to stop by its signal.
 * @returns What the work gives.
 * @throws {CancelledError} when it was stopped.
 */
export async function cancellable<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const cancelled = Promise.withResolvers<never>();
  cancelled.promise.catch(() => {}); // it may come while nobody listens any more
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listeners = Object.entries(SIGNALS).map(([name, number]) => {
    const signal = name as Deno.Signal;
    const listener = () => {
      const error = new CancelledError(
        `Cannot finish ${what} as ${name} stopped it: nothing is half written`,
        128 + number,
      );
      if (controller.signal.aborted) return cancelled.reject(error);
      controller.abort(error);
      timer = setTimeout(() => cancelled.reject(error), GRACE_MS);
    };
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  try {
    return await Promise.race([work(controller.signal), cancelled.promise]);
  } catch (error) {
    // Whatever the abort broke on its way, that it was an abort is what counts.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    for (const remove of listeners) remove();
  }
}
