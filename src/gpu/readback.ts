// Numbers back from the GPU: one copy, one wait for any number of tensors.

import { DeviceError } from "../errors.ts";
import type { Device } from "./device.ts";
import { makeStorage, USAGE } from "./storage.ts";
import type { HostArray, Tensor } from "./tensor.ts";

/** The value of an IEEE half, given its bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function decode(tensor: Tensor, bytes: ArrayBuffer): HostArray {
  switch (tensor.dtype) {
    case "f32":
      return new Float32Array(bytes, 0, tensor.size);
    case "u32":
      return new Uint32Array(bytes, 0, tensor.size);
    case "i32":
      return new Int32Array(bytes, 0, tensor.size);
    case "f16":
      return Float32Array.from(new Uint16Array(bytes, 0, tensor.size), halfToFloat);
  }
}

/**
 * Reads tensors in one wait.
 *
 * @returns Their numbers in the order given; f16 widened to f32.
 * @throws {DeviceError} the first error of all GPU work so far.
 */
export async function readAll(device: Device, tensors: readonly Tensor[]): Promise<HostArray[]> {
  if (tensors.length === 0) return [];
  const sizes = tensors.map((tensor) => Math.ceil(Math.max(tensor.bytes, 4) / 8) * 8);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const usage = USAGE.MAP_READ | USAGE.COPY_DST;
  const staging = makeStorage(device.gpu, device.ledger, total, usage, "readback");
  try {
    device.errors.during("read tensors back", () => {
      const encoder = device.gpu.createCommandEncoder({ label: "readback" });
      let offset = 0;
      tensors.forEach((tensor, i) => {
        const { buffer } = tensor.storage;
        if (tensor.bytes > 0) encoder.copyBufferToBuffer(buffer, tensor.offset, staging.buffer, offset, tensor.bytes);
        offset += sizes[i];
      });
      device.gpu.queue.submit([encoder.finish()]);
    });
    try {
      await staging.buffer.mapAsync(1 /* GPUMapMode.READ */);
    } catch (error) {
      await device.errors.check();
      throw new DeviceError(`Cannot read tensors back as their buffer must map: ${error}`, { cause: error });
    }
    await device.errors.check();
    const mapped = staging.buffer.getMappedRange();
    let offset = 0;
    const out = tensors.map((tensor, i) => {
      const bytes = mapped.slice(offset, offset + sizes[i]);
      offset += sizes[i];
      return decode(tensor, bytes);
    });
    staging.buffer.unmap();
    return out;
  } finally {
    staging.destroy();
  }
}

/**
 * Reads one tensor; see `readAll`.
 *
 * @returns Its numbers; f16 widened to f32.
 */
export async function read(device: Device, tensor: Tensor): Promise<Float32Array> {
  return (await readAll(device, [tensor]))[0] as Float32Array;
}
