// `pixart doctor --tune` and `--forget`: the tiles that suit this adapter best, measured and kept for later runs, or no longer kept. In:
// a backend, a time. Out: what changed.

import { UsageError } from "../errors.ts";
import type { Backend } from "../gpu/backend.ts";
import { Device } from "../gpu/device.ts";
import type { TileRow } from "../tune/search.ts";
import { formatRate, tileName } from "../tune/tile_words.ts";
import { tuneTiles } from "../tune/tune_tiles.ts";
import { forgetTunedTiles, saveTunedTiles } from "../tune/tuned_tiles.ts";
import { cancellable } from "./cancel.ts";
import { counted, EXIT, type Output } from "./output.ts";
import { Progress } from "./progress.ts";
import { formatTable } from "./table.ts";

/** The options of the command line that are about tiles, by their long names. */
export interface TuneFlags {
  backend?: Backend;
  tune?: boolean;
  forget?: boolean;
  limit?: number;
}

function printChanges(rows: readonly TileRow[], output: Output): void {
  const changed = rows.filter(({ best, present }) => best && !present).map((row) => {
    const before = rows.find(({ op, shape, dtype, present }) =>
      present && op === row.op && shape === row.shape && dtype === row.dtype
    );
    const old = before ? `in place of ${tileName(before.tile)}, ${formatRate(before) || "wrong"}` : "";
    return [`${row.op} ${row.shape} ${row.dtype}`, row.kind, tileName(row.tile), formatRate(row), old];
  });
  if (changed.length > 0) output.print(formatTable(["", "", "", "", ""], changed, [3]));
  for (const { op, shape, dtype, tile, ok, note } of rows) {
    if (!ok) output.log(`warning: ${op} ${shape} ${dtype} with ${tileName(tile)}: ${note}`);
  }
}

/**
 * Tunes the adapter of a backend, or forgets that it was tuned.
 *
 * @returns The exit status: 1 when a kernel gave a wrong result.
 * @throws {UsageError} when the options do not go together.
 * @throws {DeviceError} when there is no adapter.
 */
export async function tuneAdapter({ backend, tune, forget, limit }: TuneFlags, output: Output): Promise<number> {
  if (tune && forget) throw new UsageError("Cannot tune and forget as only one of them can be last: both were given");
  if (!tune && limit !== undefined) {
    throw new UsageError("Cannot keep to --limit as it is for --tune: that is not given");
  }
  using device = await Device.open({ backend });
  const adapter = `${device.description} through ${device.entry.backend}`;
  if (forget) {
    const forgotten = await forgetTunedTiles(device);
    output.print(`${adapter}: ${forgotten ? "forgotten; kernels are as measured elsewhere" : "nothing was kept"}`);
    output.document({ ok: true, adapter, forgotten });
    return EXIT.ok;
  }
  const { rows, tables, late } = await cancellable("doctor", async (signal) => {
    output.log(`tuning ${adapter}`);
    using progress = new Progress();
    return await tuneTiles(device, {
      limit,
      signal,
      onProgress: (_rows, done, total) => progress.show("tuning", done, total),
    });
  });
  const ok = rows.every((row) => row.ok), works = rows.filter(({ best }) => best);
  const path = works.length > 0 ? await saveTunedTiles(device, tables) : null;
  printChanges(rows, output);
  const faster = works.filter(({ present }) => !present).length;
  output.print(`${adapter}: another tile is faster at ${faster} of ${works.length} pieces of work`);
  if (late.length > 0) output.print(`no time was left for ${counted(late.length, "other")}; --limit gives more`);
  output.print(
    path ? `kept in ${path}; ./pixart doctor --forget removes it` : "nothing was measured, and nothing is kept",
  );
  output.document({ ok, adapter, path, rows, late });
  return ok ? EXIT.ok : EXIT.failed;
}
