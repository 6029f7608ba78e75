// Tables that were tuned on an adapter: kept, found again, refused when they are damaged or another's, forgotten.

import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { matmulVariant } from "../../src/ops/matmul_variants.ts";
import { SHIPPED_TILES, tableOf, tilesOf, withOnlyTile } from "../../src/ops/tile_tables.ts";
import { findTunedTiles, forgetTunedTiles, saveTunedTiles, useTunedTiles } from "../../src/tune/tuned_tiles.ts";
import { device } from "../_device.ts";
import { withCaches } from "./_caches.ts";

/** Tables that choose the last tile there is, for the kernel that this device would choose. */
function otherTables() {
  const kind = matmulVariant(device, 512, 1152).name;
  const last = tableOf(SHIPPED_TILES, "matmul", kind).candidates.length - 1;
  return withOnlyTile(SHIPPED_TILES, "matmul", kind, last);
}

Deno.test("saveTunedTiles() keeps tables that useTunedTiles() finds and uses, until forgetTunedTiles()", async () => {
  await withCaches(async (folder) => {
    assert.equal(await useTunedTiles(device), undefined);
    const tables = otherTables(), path = await saveTunedTiles(device, tables);
    assert.ok(path.startsWith(folder));
    assert.equal(await saveTunedTiles(device, tables), path, "written over");
    assert.deepEqual(Array.from(Deno.readDirSync(folder), ({ name }) => `${folder}/${name}`), [path]);
    const found = await useTunedTiles(device);
    assert.deepEqual(found?.tables, tables);
    assert.deepEqual(tilesOf(device), tables);
    assert.ok(Math.abs(Date.parse(found!.date) - Date.now()) < 60_000);
    assert.equal(await forgetTunedTiles(device), true);
    assert.equal(await forgetTunedTiles(device), false);
    assert.equal(await findTunedTiles(device), undefined);
  });
});

Deno.test("findTunedTiles() leaves tables of other kernels, and refuses a file that is damaged or another adapter's", async () => {
  await withCaches(async () => {
    const path = await saveTunedTiles(device, otherTables());
    const whole = JSON.parse(Deno.readTextFileSync(path));
    Deno.writeTextFileSync(path, JSON.stringify({ ...whole, kernels: "0123456789abcdef" }));
    assert.equal(await useTunedTiles(device), undefined);
    const damaged: [string, RegExp][] = [
      [JSON.stringify(whole).slice(0, 200), /the file must be whole/],
      ["null", /another adapter/],
      ["[]", /another adapter/],
      [JSON.stringify({ ...whole, adapter: { ...whole.adapter, device: "another" } }), /another adapter/],
      [JSON.stringify({ ...whole, date: 5 }), /no date/],
      [JSON.stringify({ ...whole, tables: { ...whole.tables, conv2d: undefined } }), /conv2d, matrix/],
    ];
    for (const [text, told] of damaged) {
      Deno.writeTextFileSync(path, text);
      await assert.rejects(useTunedTiles(device), (error) => {
        return error instanceof ConfigError && told.test(error.message) && error.message.includes(path) &&
          !error.message.includes("\n") && error.message.endsWith("run ./pixart doctor --tune or --forget");
      });
      assert.equal(tilesOf(device), SHIPPED_TILES);
    }
    Deno.removeSync(path);
    Deno.mkdirSync(path);
    await assert.rejects(findTunedTiles(device), ConfigError);
  });
});

Deno.test("findTunedTiles() finds nothing where the environment names no folder for caches", async () => {
  const names = ["XDG_CACHE_HOME", "HOME", "USERPROFILE"];
  const before = names.map((name) => [name, Deno.env.get(name)] as const);
  names.forEach((name) => Deno.env.delete(name));
  try {
    assert.equal(await findTunedTiles(device), undefined);
    assert.equal(await forgetTunedTiles(device), false);
    await assert.rejects(saveTunedTiles(device, SHIPPED_TILES), /HOME/);
  } finally {
    for (const [name, value] of before) if (value !== undefined) Deno.env.set(name, value);
  }
});
