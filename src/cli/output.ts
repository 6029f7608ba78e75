// What a command says. In: lines, and one document at the end. Out: text for people on stdout, or with --json exactly one JSON
// document there; all that is said on the way goes to stderr.

import { PixArtError, UsageError } from "../errors.ts";

/** Exit statuses: all went well, something failed, the command line cannot be carried out as it stands. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** The user, or the system, stopped the command. */
export class CancelledError extends PixArtError {
  override name = "CancelledError";

  /** @param exitCode 128 and the number of the signal, as shells have it. */
  constructor(message: string, readonly exitCode: number) {
    super(message);
  }
}

/** How a command speaks. */
export class Output {
  /** @param json Whether stdout holds one JSON document and nothing else. */
  constructor(readonly json: boolean) {}

  /** A line on the way: what is being done, a warning. */
  log(line: string): void {
    console.error(`pixart: ${line}`);
  }

  /** A line of the result for people; with `json` it is left out. */
  print(line: string): void {
    if (!this.json) console.log(line);
  }

  /** The result as a document; without `json` it is left out. */
  document(value: unknown): void {
    if (this.json) console.log(JSON.stringify(value, null, 2));
  }
}

/** An error as a command tells it. */
export interface ToldError {
  /** The class: `WeightsError`. */
  kind: string;
  /** One line: what is wrong, and how to mend it. */
  message: string;
  exitCode: number;
}

/** `1 picture`, `2 pictures`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

const oneLine = (text: string) => text.trim().replace(/\s*\n\s*/g, " ");

/** Any error as one line and an exit status. */
export function tellError(error: unknown): ToldError {
  if (error instanceof PixArtError) {
    const exitCode = error instanceof CancelledError
      ? error.exitCode
      : error instanceof UsageError
      ? EXIT.usage
      : EXIT.failed;
    return { kind: error.name, message: oneLine(error.message), exitCode };
  }
  if (error instanceof Deno.errors.NotCapable) {
    const message = `Cannot go on as Deno must allow it: ${oneLine(error.message)}`;
    return { kind: error.name, message, exitCode: EXIT.failed };
  }
  const kind = error instanceof Error ? error.name : "Error";
  const state = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const message = `Cannot go on as nothing should fail unforeseen: ${
    oneLine(state)
  }; run it again with --debug to see where`;
  return { kind, message, exitCode: EXIT.failed };
}
