import assert from "node:assert/strict";
import { chooseTiles } from "../../src/cli/tuned_device.ts";
import { SHIPPED_TILES, tilesOf } from "../../src/ops/tile_tables.ts";
import { saveTunedTiles } from "../../src/tune/tuned_tiles.ts";
import { device } from "../_device.ts";
import { withCaches } from "../tune/_caches.ts";
import { pixart, ROOT } from "./_cli.ts";

Deno.test("chooseTiles() uses what was kept, and warns in a line when that is damaged; commands go on", async () => {
  await withCaches(async () => {
    const warnings: string[] = [];
    const warn = (text: string) => void warnings.push(text);
    assert.equal(await chooseTiles(device, warn), undefined);
    const path = await saveTunedTiles(device, structuredClone(SHIPPED_TILES));
    assert.equal((await chooseTiles(device, warn))?.path, path);
    assert.notEqual(tilesOf(device), SHIPPED_TILES);
    assert.deepEqual(warnings, []);
    Deno.writeTextFileSync(path, "not JSON");
    assert.equal(await chooseTiles(device, warn), undefined);
    assert.equal(warnings.length, 1);

    const { code, stderr } = await pixart(["verify", `${ROOT}tests/golden/dit-alpha-micro`]);
    assert.equal(code, 0, stderr);
    const told = stderr.split("\n").filter((line) => line.includes("tuned tiles"));
    assert.deepEqual(told, [`pixart: warning: ${warnings[0]}`]);
  });
});
