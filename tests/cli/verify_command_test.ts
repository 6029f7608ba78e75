import assert from "node:assert/strict";
import { join } from "node:path";
import { temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart, ROOT } from "./_cli.ts";

const GOLDEN = join(ROOT, "tests/golden");

/** A copy of the recorded captions with one of them changed. */
function spoiledCaptions(folder: string): string {
  const captions = JSON.parse(Deno.readTextFileSync(join(GOLDEN, "captions/captions.json")));
  captions[0].cleaned += " and a panda";
  const spoiled = join(folder, "captions");
  Deno.mkdirSync(spoiled);
  Deno.writeTextFileSync(join(spoiled, "captions.json"), JSON.stringify(captions));
  return spoiled;
}

Deno.test("verify() prints a table and exits 0 when all outputs pass", async () => {
  const { code, stdout } = await pixart(["verify", join(GOLDEN, "captions")]);
  assert.equal(code, 0);
  assert.match(stdout, /captions: cleanCaption\n/);
  assert.match(stdout, /^ +output +max abs error +relative L2/m);
  assert.match(stdout, /^ok: (\d+) of \1 within/m);
});

Deno.test("verify() reports each of several folders, and exits 1 when one fails", async () => {
  using folder = temporaryFolder();
  const folders = [join(GOLDEN, "captions"), spoiledCaptions(folder.path), folder.path];
  const { code, stdout, stderr } = await pixart(["verify", "--json", ...folders]);
  assert.equal(code, 1);
  const { ok, reports } = JSON.parse(stdout);
  assert.equal(ok, false);
  assert.deepEqual(reports.map((report: { ok: boolean }) => report.ok), [true, false, false]);
  assert.deepEqual(reports.map((report: { folder: string }) => report.folder), folders);
  const failed = reports[1].outputs.filter((output: { ok: boolean }) => !output.ok);
  assert.equal(failed.length, 1);
  assert.ok(failed[0].maxAbsError >= 1 && failed[0].note.length > 0);
  assert.equal(reports[2].error.kind, "ConfigError");
  assert.ok(linesOf(stderr).includes(`pixart: ${reports[2].error.message}`));
});

Deno.test("verify() prints FAILED beside the output that is off", async () => {
  using folder = temporaryFolder();
  const { code, stdout } = await pixart(["verify", spoiledCaptions(folder.path)]);
  assert.equal(code, 1);
  assert.equal(linesOf(stdout).filter((line) => / FAILED( |$)/.test(line)).length, 1);
  assert.match(stdout, /^FAILED: /m);
});

Deno.test("verify() compares a network's outputs within the tolerance asked for", async () => {
  const folder = join(GOLDEN, "vae");
  const { code, stdout } = await pixart(["verify", folder, "--json"]);
  assert.equal(code, 0, stdout);
  const { tolerance, outputs } = JSON.parse(stdout).reports[0];
  assert.equal(tolerance, 1e-4);
  const errors = outputs.map(({ relativeL2 }: { relativeL2: number }) => relativeL2);
  assert.ok(errors.every((error: number) => error > 0 && error <= 1e-4), errors);
  const strict = await pixart(["verify", folder, "--tolerance", "1e-12"]);
  assert.equal(strict.code, 1);
});
