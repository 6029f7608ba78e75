// How far a download is. In: how many bytes came. Out, a few times a second: bytes done and in all, the speed, the time left.

/** How far a download is. */
export interface DownloadProgress {
  /** The model: `org/name`. */
  model: string;
  /** The file that something just came of. */
  file: string;
  /** Bytes that are there, those of earlier runs among them, and bytes in all. */
  loaded: number;
  total: number;
  /** Over the last seconds; 0 while it is not known. */
  bytesPerSecond: number;
  /** Undefined while it is not known. */
  secondsLeft?: number;
}

const TELL_EVERY_MS = 100;
const LOOK_BACK_MS = 5000;

/** Counts bytes and tells about them. */
export class DownloadTally {
  readonly #model: string;
  readonly #tell: ((progress: DownloadProgress) => void) | undefined;
  readonly #marks: { time: number; bytes: number }[] = [];
  #loaded = 0;
  #fromNetwork = 0;
  #lastTold = -Infinity;

  /** @param total Bytes in all. */
  constructor(model: string, readonly total: number, tell?: (progress: DownloadProgress) => void) {
    this.#model = model;
    this.#tell = tell;
    this.#marks.push({ time: performance.now(), bytes: 0 });
  }

  /** Bytes that came over the network. */
  get fetched(): number {
    return this.#fromNetwork;
  }

  /** @param count Bytes that are there more, or fewer. */
  add(file: string, count: number, fromNetwork: boolean): void {
    this.#loaded += count;
    if (fromNetwork) this.#fromNetwork += count;
    const now = performance.now();
    if (now - this.#lastTold < TELL_EVERY_MS && this.#loaded < this.total) return;
    this.#lastTold = now;
    this.#marks.push({ time: now, bytes: this.#fromNetwork });
    while (this.#marks.length > 2 && now - this.#marks[1].time > LOOK_BACK_MS) this.#marks.shift();
    const [oldest] = this.#marks;
    const bytesPerSecond = now > oldest.time ? (this.#fromNetwork - oldest.bytes) / (now - oldest.time) * 1000 : 0;
    const left = this.total - this.#loaded;
    this.#tell?.({
      model: this.#model,
      file,
      loaded: this.#loaded,
      total: this.total,
      bytesPerSecond,
      secondsLeft: left === 0 ? 0 : bytesPerSecond > 0 ? left / bytesPerSecond : undefined,
    });
  }
}
