// Numbers on the command line. In: a word. Out: a number, or a sentence about what it must be, which commander puts behind the option.

// deno-lint-ignore no-import-prefix -- this module is also imported by URL, where no import map applies
import { InvalidArgumentError } from "npm:commander@15.1.0";

/** Reads whole numbers from `least` on. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(
        least === -Infinity ? "It must be a whole number." : `It must be a whole number from ${least} on.`,
      );
    }
    return value;
  };
}

/** Reads finite numbers from `least` on, and up to `most` where there is such a bound. */
export function finiteNumber(least: number, most = Infinity): (text: string) => number {
  const bounds = [least > -Infinity && `from ${least} on`, most < Infinity && `up to ${most}`].filter(Boolean).join(
    ", ",
  );
  return (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!Number.isFinite(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a number${bounds && ` ${bounds}`}.`);
    }
    return value;
  };
}

/** Two positive numbers, height first as in the original's `--ar` and `--hw`: `16:9`. */
export function heightToWidth(text: string): [height: number, width: number] {
  const [, height, width] = /^(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)$/.exec(text.trim()) ?? [];
  if (!(Number(height) > 0 && Number(width) > 0)) {
    throw new InvalidArgumentError("It must be height:width, such as 3:4.");
  }
  return [Number(height), Number(width)];
}

/** Whole numbers from 0 on, with commas between. */
export function numberList(text: string): number[] {
  if (!/^\s*\d+(\s*,\s*\d+)*\s*$/.test(text)) {
    throw new InvalidArgumentError("It must be whole numbers, such as 999,499.");
  }
  return text.split(",").map(Number);
}
