import assert from "node:assert/strict";
import { join } from "node:path";
import { asDistilled } from "../../src/cli/distilled.ts";
import type { PictureFlags } from "../../src/cli/picture_options.ts";
import { decodePng } from "../../src/io/image.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { pixart } from "./_cli.ts";

const COMMON = { steps: 20, guidance: 4.5, numImages: 1, cleanCaption: true, binning: true };
const NONE: ReadonlySet<string> = new Set();

Deno.test("asDistilled() knows distilled models by their names, and leaves what the user named", () => {
  const lcm = { scheduler: "lcm", steps: 4, guidance: 0 };
  const named = (model: string | undefined, given = NONE) => {
    const { steps, guidance, scheduler, timesteps } = asDistilled<PictureFlags & { model?: string }>(
      { ...COMMON, model },
      given,
    );
    return { steps, guidance, ...(scheduler && { scheduler }), ...(timesteps && { timesteps }) };
  };
  assert.deepEqual(named("alpha-1024-lcm"), lcm);
  assert.deepEqual(named("PixArt-alpha/PixArt-LCM-XL-2-1024-MS"), lcm);
  assert.deepEqual(named("alpha-512-dmd"), { steps: 1, guidance: 1, scheduler: "dmd", timesteps: [400] });
  for (const other of [undefined, "sigma-1024", "my-lcmesque"]) {
    assert.deepEqual(named(other), { steps: 20, guidance: 4.5 });
  }
  assert.equal(named("alpha-1024-lcm", new Set(["steps"])).steps, 20);
  assert.equal(asDistilled({ ...COMMON, distilled: "dmd" }, NONE).steps, 1);
});

Deno.test("generate() samples a distilled model in its steps", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "a.png");
  const { code, stderr } = await pixart(["generate", "a red apple", "--distilled", "dmd", "--seed", "0", "--out", out]);
  assert.equal(code, 0, stderr);
  const { timesteps, num_inference_steps, guidance_scale, scheduler } = decodePng(Deno.readFileSync(out)).metadata;
  assert.deepEqual([timesteps, num_inference_steps, guidance_scale, scheduler], ["400", "1", "1", "dmd"]);
});
