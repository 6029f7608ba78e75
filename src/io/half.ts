// Sixteen-bit floats. In and out: f32 arrays and arrays of f16 or bf16 bit patterns (u16). Widening is exact, narrowing
// rounds to the nearest and ties to even, with denormals, infinities and NaN as IEEE 754 has them.

let table: Float32Array<ArrayBuffer> | undefined;

/** All 65536 values of f16: looking one up is several times as fast as taking its bits apart. */
function f16Values(): Float32Array<ArrayBuffer> {
  if (table) return table;
  table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent === 0
      ? fraction * 2 ** -24
      : exponent < 31
      ? (1024 + fraction) * 2 ** (exponent - 25)
      : fraction === 0
      ? Infinity
      : NaN;
    table[bits] = bits & 0x8000 ? -size : size;
  }
  return table;
}

/**
 * Widens f16 bit patterns to f32.
 *
 * @param out Where to write; a new array when left out.
 * @example
 * ```ts
 * import { f16ToF32 } from "./half.ts";
 * console.assert(f16ToF32(Uint16Array.of(0x3c00, 0xc000)).join() === "1,-2");
 * ```
 */
export function f16ToF32(
  halves: Uint16Array,
  out: Float32Array<ArrayBuffer> = new Float32Array(halves.length),
): Float32Array<ArrayBuffer> {
  const values = f16Values();
  for (let i = 0; i < halves.length; i++) out[i] = values[halves[i]];
  return out;
}

/**
 * Narrows f32 to f16 bit patterns; from 65520 on the result is infinity.
 *
 * @param out Where to write; a new array when left out.
 */
export function f32ToF16(
  floats: Float32Array,
  out: Uint16Array<ArrayBuffer> = new Uint16Array(floats.length),
): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i] >>> 16) & 0x8000;
    const size = words[i] & 0x7fffffff;
    // From 2^-14 on f16 is normal: move the exponent's zero and round away 13 bits; a carry runs into the exponent.
    if (size >= 0x38800000 && size < 0x47800000) {
      out[i] = sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
    } else if (size < 0x38800000) {
      out[i] = sign | denormal(size);
    } else {
      out[i] = sign | (size > 0x7f800000 ? 0x7e00 | ((size >>> 13) & 0x3ff) : 0x7c00);
    }
  }
  return out;
}

/** The nearest multiple of 2^-24, ties to even, of an f32 below 2^-14 given by its bits. */
function denormal(size: number): number {
  if (size <= 0x33000000) return 0;
  const shift = 126 - (size >>> 23);
  const fraction = (size & 0x7fffff) | 0x800000;
  const whole = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return whole + (rest > half || (rest === half && whole & 1) ? 1 : 0);
}

/**
 * Widens bf16 bit patterns to f32.
 *
 * @param out Where to write; a new array when left out.
 */
export function bf16ToF32(
  halves: Uint16Array,
  out: Float32Array<ArrayBuffer> = new Float32Array(halves.length),
): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i] << 16;
  return out;
}

/**
 * Narrows f32 to bf16 bit patterns.
 *
 * @param out Where to write; a new array when left out.
 */
export function f32ToBf16(
  floats: Float32Array,
  out: Uint16Array<ArrayBuffer> = new Uint16Array(floats.length),
): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    out[i] = (word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}
