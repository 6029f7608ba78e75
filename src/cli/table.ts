// Text in columns. In: rows of cells. Out: lines with the columns under each other.

/**
 * Lays cells out in columns as wide as their longest cell.
 *
 * @param header Titles; left out when all are empty.
 * @param numeric Columns that are set to the right.
 * @example
 * ```ts
 * import { formatTable } from "./table.ts";
 * console.assert(formatTable(["", ""], [["a", "10"], ["bb", "9"]], [1]) === "  a   10\n  bb   9");
 * ```
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  numeric: readonly number[] = [],
): string {
  const lines = header.every((title) => title === "") ? rows : [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((cells) => cells[column].length)));
  return lines
    .map((cells) =>
      cells.map((cell, i) => numeric.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])).join("  ")
        .trimEnd()
    )
    .map((line) => `  ${line}`)
    .join("\n");
}
