// Folders for the files of a test. In: nothing. Out: the path of one that is there as long as a block runs, and what is in it.

/** A folder that is removed with all that is in it when the block ends. */
export function temporaryFolder(): Disposable & { path: string } {
  const path = Deno.makeTempDirSync({ prefix: "pixart-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** The names in a folder, sorted. */
export const namesIn = (folder: string): string[] => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
