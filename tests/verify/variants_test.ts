// Every network against PyTorch's numbers under every kind of kernels that this adapter has: those that need no optional feature, those
// for CPUs that pose as GPUs, those for GPUs. Other tests run the kind that a device chooses by itself.

import assert from "node:assert/strict";
import { Device, type DeviceOptions } from "../../src/gpu/device.ts";
import { assertVerifies, golden } from "./_folders.ts";

/** How a device is opened so that it chooses a kind of kernels, and which it must then run. */
interface Kind {
  name: string;
  options: DeviceOptions;
  /** Of which the networks must run at least one; none where it is empty. */
  expected(device: Device, dtype: string): string[];
}

const VARIANT = /^(?:matmul|attention|conv2d)_(wide|tile|tile_f16|matrix)$/;
const TOLERANCES = [["f32", 5e-6], ["f16", 8e-3]] as const;

const KINDS: readonly Kind[] = [
  { name: "portable", options: { features: [], software: true }, expected: () => [] },
  {
    name: "of a CPU",
    options: { software: true },
    expected: ({ subgroupSize }) => subgroupSize === 8 ? ["wide"] : [],
  },
  {
    name: "of a GPU",
    options: { software: false },
    expected: ({ subgroupMatrixConfigs }, dtype) =>
      subgroupMatrixConfigs.length > 0 && dtype !== "f32" ? ["matrix"] : ["tile", "tile_f16"],
  },
];

for (const { name, options, expected } of KINDS) {
  Deno.test(`the networks match PyTorch with kernels that are ${name}`, async (t) => {
    using device = await Device.open(options);
    for (const [dtype, tolerance] of TOLERANCES) {
      const names = new Set<string>();
      device.profile = { next: (kernel) => void names.add(kernel), resolve: () => {} };
      for (const folder of ["dit-sigma", "dit-alpha-micro", "t5", "vae"]) {
        await t.step(`${folder} with ${dtype} weights`, async () => {
          await assertVerifies(golden(folder), { device, dtype, tolerance });
        });
      }
      const found = [...names].flatMap((kernel) => VARIANT.exec(kernel)?.[1] ?? []);
      const wanted = expected(device, dtype);
      const isRight = wanted.length > 0 ? wanted.some((kind) => found.includes(kind)) : found.length === 0;
      assert.ok(isRight, `${dtype} weights ran kernels of the kinds [${found}], not one of [${wanted}]`);
    }
  });
}
