// GPU errors arrive late and by several roads (error scopes, the uncaptured event, device loss). They are gathered here and
// thrown at the next point where the caller waits, as typed errors with the name of what was being done.

import { DeviceError, OutOfMemoryError, type PixArtError } from "../errors.ts";

/** Gathers the errors of one device. */
export class ErrorLog {
  #first: PixArtError | undefined;
  #pending = new Set<Promise<void>>();
  #lost: DeviceError | undefined;
  #closing = false;

  constructor(private readonly device: GPUDevice) {
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault?.();
      this.#record(
        new DeviceError(`Cannot run GPU work as it must be valid: ${(event as GPUUncapturedErrorEvent).error.message}`),
      );
    });
    device.lost.then((info) => {
      if (!this.#closing) {
        this.#lost = new DeviceError(`Cannot go on as the device was lost: ${info.message || info.reason}`);
      }
    });
  }

  /** The device is closed on purpose: its loss is no error. */
  close(): void {
    this.#closing = true;
  }

  #record(error: PixArtError): void {
    this.#first ??= error;
  }

  /**
   * Does `work` and notes any validation or out-of-memory error it causes.
   *
   * @param what What is being done, for the message: `compile layer_norm`.
   */
  during<T>(what: string, work: () => T): T {
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("validation");
    try {
      return work();
    } finally {
      const pops = [this.device.popErrorScope(), this.device.popErrorScope()];
      const pending = Promise.all(pops).then((errors) => {
        const error = errors.find((found) => found !== null);
        if (!error) return;
        const memory = error === errors[1];
        this.#record(
          memory
            ? new OutOfMemoryError(`Cannot ${what} as the device must have the memory: ${error.message}`)
            : new DeviceError(`Cannot ${what} as the GPU must accept it: ${error.message}`),
        );
      }, (reason) => this.#record(new DeviceError(`Cannot ${what} as the device must answer: ${reason}`)));
      this.#pending.add(pending);
      pending.finally(() => this.#pending.delete(pending));
    }
  }

  /**
   * Does `work` whose errors are told to nobody.
   *
   * @returns What it gives; nothing when there was an error.
   */
  async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { device } = this;
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    const result = Promise.try(work);
    const scopes = [device.popErrorScope(), device.popErrorScope()];
    const [outcome, ...found] = await Promise.allSettled([result, ...scopes]);
    const isClean = found.every((scope) => scope.status === "fulfilled" && scope.value === null);
    return isClean && outcome.status === "fulfilled" ? outcome.value as T : undefined;
  }

  /** Throws the device's loss, if it was lost. */
  throwIfLost(): void {
    if (this.#lost) throw this.#lost;
  }

  /** Waits for all error scopes and throws the first error since the last call. */
  async check(): Promise<void> {
    this.throwIfLost();
    await Promise.all(this.#pending);
    this.throwIfLost();
    const error = this.#first;
    this.#first = undefined;
    if (error) throw error;
  }
}
