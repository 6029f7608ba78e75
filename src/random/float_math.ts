// Logarithm, sine and cosine in f32 by the polynomials of Moshier's Cephes library, rounded as PyTorch's AVX2 kernel
// rounds them. JavaScript's own are nearer to the truth, and would differ from PyTorch's in the last place of one normal
// number in six.

const round = Math.fround;

/** a b + c with one rounding: doubles hold the product of two f32 exactly. */
const fma = (a: number, b: number, c: number) => round(a * b + c);

function polynomial(coefficients: number[], x: number): number {
  let sum = coefficients[0];
  for (let i = 1; i < coefficients.length; i++) sum = fma(sum, x, coefficients[i]);
  return sum;
}

const LOG = [
  7.0376836292e-2,
  -1.151461031e-1,
  1.1676998740e-1,
  -1.2420140846e-1,
  1.4249322787e-1,
  -1.6668057665e-1,
  2.0000714765e-1,
  -2.4999993993e-1,
  3.3333331174e-1,
].map(round);
const SIN = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1].map(round);
const COS = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2].map(round);

// ln 2 and pi / 4 in pieces: the first has so few bits that its product with a small whole number is exact.
const LN2 = [0.693359375, round(-2.12194440e-4)];
const QUARTER_PI = [0.78515625, 2.4187564849853515625e-4, round(3.77489497744594108e-8)];
const PER_QUARTER_PI = round(4 / Math.PI);

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The natural logarithm of a normal f32 above 0. */
export function logFloat(x: number): number {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)), and then log(x) = log(m) + e ln 2.
  float[0] = x;
  let e = (bits[0] >>> 23) - 126;
  bits[0] = (bits[0] & 0x7fffff) | 0x3f000000;
  let m = float[0];
  if (m < Math.SQRT1_2) {
    e -= 1;
    m = round(2 * m);
  }
  m = round(m - 1);
  const square = round(m * m);
  let y = fma(round(polynomial(LOG, m) * m), square, round(e * LN2[1]));
  y = fma(square, -0.5, y);
  return fma(e, LN2[0], round(m + y));
}

/** Sine and cosine of an angle of [0, 2 pi] in f32. */
export function sinCosFloat(angle: number): [sin: number, cos: number] {
  // The nearest even number of eighths of the circle goes off; what is left lies in [-pi/4, pi/4].
  const eighths = (Math.trunc(round(angle * PER_QUARTER_PI)) + 1) & ~1;
  let x = angle;
  for (const piece of QUARTER_PI) x = fma(-eighths, piece, x);
  const square = round(x * x);
  const sin = fma(round(polynomial(SIN, square) * square), x, x);
  const cos = round(fma(round(polynomial(COS, square) * square), square, -0.5 * square) + 1);
  switch (eighths & 6) {
    case 0:
      return [sin, cos];
    case 2:
      return [cos, -sin];
    case 4:
      return [-sin, -cos];
    default:
      return [-cos, sin];
  }
}
