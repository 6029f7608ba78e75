// How far a command is. In: what is being done, how much of it is done. Out: a bar with the time left, or what else is to be told,
// where stderr is a terminal; elsewhere a plain line every few seconds, and none for what is quicker than that.

import process from "node:process";
// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import cliProgress from "npm:cli-progress@3.12.0";

/** The part of the package that is used here, which has no types of its own. */
interface Bar {
  start(total: number, value: number, payload: Record<string, string>): void;
  update(value: number, payload: Record<string, string>): void;
  stop(): void;
}
const { SingleBar } = cliProgress as { SingleBar: new (options: Record<string, unknown>) => Bar };

const LINE_EVERY_MS = 5000;

/** A span of time in words: `8 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Shows one thing after another. */
export class Progress implements Disposable {
  readonly #isTerminal = process.stderr.isTTY === true;
  #bar: Bar | undefined;
  #label = "";
  #total = 0;
  /** When something was first known to be done, and how much: compiling comes before that, and would spoil the forecast. */
  #since: { time: number; done: number } | undefined;
  #lastLine = performance.now();

  /** @param verb What begins a line where there is no bar: `downloading `, of labels that name only things. */
  constructor(private readonly verb = "") {}

  /**
   * Shows how far a thing is; another label begins another thing.
   *
   * @param label What is being done: `denoising`.
   * @param done How much of it is done, in any unit.
   * @param total How much there is to do.
   * @param notes What stands behind the percentage, in place of the time left as it can be told from what was shown.
   */
  show(label: string, done: number, total: number, notes?: string): void {
    const now = performance.now();
    if (label !== this.#label || total !== this.#total) {
      this.stop();
      this.#label = label;
      this.#total = total;
    }
    if (done > 0) this.#since ??= { time: now, done };
    const told = notes ?? this.#timeLeft(done, now);
    const behind = told && `, ${told}`;
    if (this.#isTerminal) this.#draw(done, behind);
    else if (now - this.#lastLine >= LINE_EVERY_MS) {
      this.#lastLine = now;
      console.error(`pixart: ${this.verb}${label} ${Math.floor(100 * done / total)}%${behind}`);
    }
  }

  #timeLeft(done: number, now: number): string {
    const since = this.#since;
    if (!since || done <= since.done || done >= this.#total) return "";
    return `${formatSeconds((now - since.time) / (done - since.done) * (this.#total - done) / 1000)} left`;
  }

  #draw(done: number, behind: string): void {
    if (!this.#bar) {
      this.#bar = new SingleBar({
        stream: process.stderr,
        format: "{label} [{bar}] {percentage}%{behind}",
        barsize: 20,
        hideCursor: true,
        clearOnComplete: true,
        gracefulExit: false, // it would end the process's own handling of signals
      });
      this.#bar.start(this.#total, done, { label: this.#label, behind });
    }
    this.#bar.update(done, { behind });
  }

  /** Takes the bar away; what is shown next begins anew. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#since = undefined;
    this.#label = "";
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}
