// The block formats of ggml: weights in blocks of 32 or 256 that share a scale. In: bytes as a GGUF file stores them.
// Out: f32, with the same rounding after each operation as ggml's reference; and the way back for Q8_0 and Q4_0.
import { WeightsError } from "../errors.ts";
import { f16ToF32, f32ToF16 } from "./half.ts";

/** A format in which several elements share a scale. */
export type QuantType = "Q8_0" | "Q5_0" | "Q5_1" | "Q4_0" | "Q4_1" | "Q2_K" | "Q3_K" | "Q4_K" | "Q5_K" | "Q6_K";

/** Elements and bytes of one block of each format. */
export const BLOCK_OF: Readonly<Record<QuantType, { elements: number; bytes: number }>> = {
  Q8_0: { elements: 32, bytes: 34 },
  Q5_0: { elements: 32, bytes: 22 },
  Q5_1: { elements: 32, bytes: 24 },
  Q4_0: { elements: 32, bytes: 18 },
  Q4_1: { elements: 32, bytes: 20 },
  Q2_K: { elements: 256, bytes: 84 },
  Q3_K: { elements: 256, bytes: 110 },
  Q4_K: { elements: 256, bytes: 144 },
  Q5_K: { elements: 256, bytes: 176 },
  Q6_K: { elements: 256, bytes: 210 },
};

/** Whether a dtype is one of the block formats. */
export function isQuantType(dtype: string): dtype is QuantType {
  return Object.hasOwn(BLOCK_OF, dtype);
}

/** Decodes the block at `at` to `out` from `to` on. */
type Decode = (b: Uint8Array, at: number, out: Float32Array, to: number) => void;

// Products of a scale and a small integer are exact in a double, so storing them rounds once, as f32 arithmetic does. Where a
// sum follows, the product has to be rounded first.
const { fround } = Math;

const half = new Uint16Array(1);
const wide = new Float32Array(1);

function scaleAt(b: Uint8Array, at: number): number {
  half[0] = b[at] | (b[at + 1] << 8);
  return f16ToF32(half, wide)[0];
}

/** Four bits an element, element i beside element i + 16; with a minimum (`_1`) or around zero (`_0`). */
const fourBits = (hasMinimum: boolean): Decode => (b, at, out, to) => {
  const d = scaleAt(b, at);
  const m = hasMinimum ? scaleAt(b, at + 2) : 0;
  const q = at + (hasMinimum ? 4 : 2);
  for (let i = 0; i < 32; i++) {
    const bits = (b[q + (i & 15)] >> ((i >> 4) * 4)) & 15;
    out[to + i] = hasMinimum ? fround(d * bits) + m : d * (bits - 8);
  }
};

/** As `fourBits`, and a fifth bit of each element in four bytes in front. */
const fiveBits = (hasMinimum: boolean): Decode => (b, at, out, to) => {
  const d = scaleAt(b, at);
  const m = hasMinimum ? scaleAt(b, at + 2) : 0;
  const high = at + (hasMinimum ? 4 : 2);
  for (let i = 0; i < 32; i++) {
    const fifth = (b[high + (i >> 3)] >> (i & 7)) & 1;
    const bits = ((b[high + 4 + (i & 15)] >> ((i >> 4) * 4)) & 15) | (fifth << 4);
    out[to + i] = hasMinimum ? fround(d * bits) + m : d * (bits - 16);
  }
};

/** Scale and minimum of 32 elements each, six bits each, of Q4_K and Q5_K; both in one number, the minimum from bit 8 on. */
function sixBitPair(b: Uint8Array, at: number, s: number): number {
  if (s < 4) return (b[at + s] & 63) | ((b[at + s + 4] & 63) << 8);
  const low = b[at + s + 4];
  return (low & 15) | ((b[at + s - 4] >> 6) << 4) | (((low >> 4) | ((b[at + s] >> 6) << 4)) << 8);
}

/** Q4_K and Q5_K: d, dmin, 12 bytes of scales, 32 bytes of fifth bits if there are any, 128 bytes of low bits. */
const superBlock = (hasFifth: boolean): Decode => (b, at, out, to) => {
  const d = scaleAt(b, at);
  const dmin = scaleAt(b, at + 2);
  const high = at + 16;
  const low = hasFifth ? high + 32 : high;
  for (let s = 0; s < 8; s++) {
    const pair = sixBitPair(b, at + 4, s);
    const scale = fround(d * (pair & 255));
    const minimum = fround(dmin * (pair >> 8));
    const q = low + (s >> 1) * 32;
    for (let i = 0; i < 32; i++) {
      const fifth = hasFifth ? ((b[high + i] >> s) & 1) << 4 : 0;
      const bits = ((b[q + i] >> ((s & 1) * 4)) & 15) | fifth;
      out[to + s * 32 + i] = fround(scale * bits) - minimum;
    }
  }
};

const DECODE: Record<QuantType, Decode> = {
  Q8_0(b, at, out, to) {
    const d = scaleAt(b, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * ((b[at + 2 + i] << 24) >> 24);
  },
  Q5_0: fiveBits(false),
  Q5_1: fiveBits(true),
  Q4_0: fourBits(false),
  Q4_1: fourBits(true),
  Q4_K: superBlock(false),
  Q5_K: superBlock(true),
  // 16 bytes of scales and minima, four bits each; 64 bytes with two bits an element; d, dmin.
  Q2_K(b, at, out, to) {
    const d = scaleAt(b, at + 80);
    const dmin = scaleAt(b, at + 82);
    for (let g = 0; g < 16; g++) {
      const scale = fround(d * (b[at + g] & 15));
      const minimum = fround(dmin * (b[at + g] >> 4));
      const q = at + 16 + (g >> 3) * 32 + (g & 1) * 16;
      const shift = ((g >> 1) & 3) * 2;
      for (let i = 0; i < 16; i++) out[to + g * 16 + i] = fround(scale * ((b[q + i] >> shift) & 3)) - minimum;
    }
  },
  // 32 bytes of third bits, 64 bytes with two bits an element, 12 bytes of scales, six bits each; d.
  Q3_K(b, at, out, to) {
    const d = scaleAt(b, at + 108);
    for (let g = 0; g < 16; g++) {
      const low = (b[at + 96 + (g & 7)] >> ((g >> 3) * 4)) & 15;
      const high = (b[at + 104 + (g & 3)] >> ((g >> 2) * 2)) & 3;
      const scale = fround(d * ((low | (high << 4)) - 32));
      const third = at + (g & 1) * 16;
      const q = third + 32 + (g >> 3) * 32;
      const shift = ((g >> 1) & 3) * 2;
      for (let i = 0; i < 16; i++) {
        // The third bit counts 4 where it is set, and the smallest value is -4.
        const bits = ((b[q + i] >> shift) & 3) | (((b[third + i] >> (g >> 1)) & 1) << 2);
        out[to + g * 16 + i] = scale * (bits - 4);
      }
    }
  },
  // 128 bytes of low four bits, 64 bytes of high two bits, 16 scales of eight bits; d.
  Q6_K(b, at, out, to) {
    const d = scaleAt(b, at + 208);
    for (let g = 0; g < 16; g++) {
      const scale = fround(d * ((b[at + 192 + g] << 24) >> 24));
      const quarter = (g >> 1) & 3;
      const column = (g & 1) * 16;
      const low = at + (g >> 3) * 64 + (quarter & 1) * 32 + column;
      const high = at + 128 + (g >> 3) * 32 + column;
      for (let i = 0; i < 16; i++) {
        const bits = ((b[low + i] >> ((quarter >> 1) * 4)) & 15) | (((b[high + i] >> (quarter * 2)) & 3) << 4);
        out[to + g * 16 + i] = scale * (bits - 32);
      }
    }
  },
};

/**
 * Decodes blocks to f32, bit for bit as ggml's reference does.
 *
 * @param bytes Whole blocks.
 * @param out Where to write; a new array when left out.
 * @throws {WeightsError} when the bytes are not whole blocks.
 * @example
 * ```ts
 * import { dequantizeBlocks, quantizeQ8_0 } from "./gguf_blocks.ts";
 * const blocks = quantizeQ8_0(new Float32Array(32).fill(127));
 * console.assert(dequantizeBlocks("Q8_0", blocks)[31] === 127);
 * ```
 */
export function dequantizeBlocks(
  type: QuantType,
  bytes: Uint8Array,
  out?: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  const block = BLOCK_OF[type];
  const count = bytes.length / block.bytes;
  if (!Number.isInteger(count)) {
    throw new WeightsError(`Cannot decode ${bytes.length} bytes as ${type}: a block has ${block.bytes} bytes`);
  }
  const floats = out ?? new Float32Array(count * block.elements);
  if (floats.length !== count * block.elements) {
    throw new WeightsError(
      `Cannot decode ${bytes.length} bytes as ${type} into ${floats.length} floats: they hold ${
        count * block.elements
      }`,
    );
  }
  const decode = DECODE[type];
  for (let i = 0; i < count; i++) decode(bytes, i * block.bytes, floats, i * block.elements);
  return floats;
}

/** Calls `encode` with the place of each block of 32, after a check that the numbers are whole blocks of finite numbers. */
function encodeBlocks(
  type: "Q8_0" | "Q4_0",
  floats: Float32Array,
  encode: (from: number, bytes: Uint8Array, at: number) => number,
): Uint8Array<ArrayBuffer> {
  const cannot = `Cannot quantize [${floats.length}] as ${type}`;
  const { elements, bytes: blockBytes } = BLOCK_OF[type];
  if (floats.length % elements !== 0) throw new WeightsError(`${cannot}: a block has ${elements} elements`);
  const bytes = new Uint8Array((floats.length / elements) * blockBytes);
  const scales = new Float32Array(floats.length / elements);
  for (let block = 0; block < scales.length; block++) {
    const from = block * elements;
    for (let i = from; i < from + elements; i++) {
      // A difference with itself is zero for finite numbers alone.
      if (floats[i] - floats[i] !== 0) throw new WeightsError(`${cannot}: element ${i} is ${floats[i]}`);
    }
    scales[block] = encode(from, bytes, block * blockBytes + 2);
  }
  const halves = f32ToF16(scales);
  for (let block = 0; block < halves.length; block++) {
    bytes[block * blockBytes] = halves[block] & 255;
    bytes[block * blockBytes + 1] = halves[block] >> 8;
  }
  return bytes;
}

/**
 * Encodes f32 as blocks of 32 with eight bits an element, bit for bit as ggml's reference does.
 *
 * @param floats As many elements as fill whole blocks, all finite.
 * @throws {WeightsError} when they are not.
 */
export function quantizeQ8_0(floats: Float32Array): Uint8Array<ArrayBuffer> {
  return encodeBlocks("Q8_0", floats, (from, bytes, at) => {
    let most = 0;
    for (let i = 0; i < 32; i++) {
      const size = Math.abs(floats[from + i]);
      if (size > most) most = size;
    }
    const d = fround(most / 127);
    const inverse = d === 0 ? 0 : fround(1 / d);
    for (let i = 0; i < 32; i++) {
      // C's roundf, to the nearest and away from zero at a half, without a branch on the sign: count halves, then go on by one.
      const halves = (fround(floats[from + i] * inverse) * 2) | 0;
      bytes[at + i] = ((halves + ((halves >> 31) | 1)) / 2) | 0;
    }
    return d;
  });
}

/**
 * Encodes f32 as blocks of 32 with four bits an element, bit for bit as ggml's reference does.
 *
 * @param floats As many elements as fill whole blocks, all finite.
 * @throws {WeightsError} when they are not.
 */
export function quantizeQ4_0(floats: Float32Array): Uint8Array<ArrayBuffer> {
  return encodeBlocks("Q4_0", floats, (from, bytes, at) => {
    let extreme = 0;
    for (let i = 0; i < 32; i++) {
      if (Math.abs(floats[from + i]) > Math.abs(extreme)) extreme = floats[from + i];
    }
    const d = fround(extreme / -8);
    const inverse = d === 0 ? 0 : fround(1 / d);
    const bitsOf = (i: number) => Math.min(15, fround(fround(floats[from + i] * inverse) + 8.5) | 0);
    for (let i = 0; i < 16; i++) bytes[at + i] = bitsOf(i) | (bitsOf(i + 16) << 4);
    return d;
  });
}
