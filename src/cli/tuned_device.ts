// The tiles that `./pixart doctor --tune` found. In: a device that a command has opened. Out: its kernels are chosen by what was kept for
// its adapter, if anything.

import { ConfigError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { type TunedTiles, useTunedTiles } from "../tune/tuned_tiles.ts";

/**
 * Chooses a device's kernels.
 *
 * @param warn Told in a line when what was kept cannot be used; the tables of this library stay.
 */
export async function chooseTiles(device: Device, warn: (text: string) => void): Promise<TunedTiles | undefined> {
  try {
    return await useTunedTiles(device);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    warn(error.message);
  }
}
