// timestep_embedding: y = [cos(t f), sin(t f)] for each of width / 2 frequencies f.
//   t [B]   frequencies [width / 2]   ->   y [B, width]
// Arguments reach thousands, where the built-in functions may be off by anything, so they are reduced to -pi/4..pi/4 here
// and the rest is a polynomial (coefficients of the Cephes library's sinf and cosf). Bound by nothing: it is tiny.

struct Params {
  total: u32, // B * width / 2
  half: u32, // width / 2
  zero: u32, // always 0
}

@group(0) @binding(0) var<storage, read> t: array<f32>;
@group(0) @binding(1) var<storage, read> frequencies: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

const TWO_OVER_PI = 0.63661977;
// pi / 2 in three parts; the first two have so few bits that their products with a quarter count are exact.
const QUARTER_HIGH = 1.5703125;
const QUARTER_MIDDLE = 4.837512969970703e-4;
const QUARTER_LOW = 7.54978995489188e-8;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let b = i / p.half;
  let column = i - b * p.half;
  // PyTorch rounds this product to f32, which moves it by up to 3e-5. The bitwise step with what no compiler knows to be
  // zero keeps it from being fused, unrounded, into the subtraction below.
  let argument = bitcast<f32>(bitcast<u32>(t[b] * frequencies[column]) ^ p.zero);
  let quarters = round(argument * TWO_OVER_PI);
  let r = ((argument - quarters * QUARTER_HIGH) - quarters * QUARTER_MIDDLE) - quarters * QUARTER_LOW;
  let z = r * r;
  let sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let cosine = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  // Each quarter turn maps (cos, sin) to (-sin, cos).
  let turn = i32(quarters) & 3;
  var value = select(vec2(cosine, sine), vec2(-sine, cosine), (turn & 1) == 1);
  value = select(value, -value, turn >= 2);
  y[b * 2u * p.half + column] = value.x;
  y[b * 2u * p.half + p.half + column] = value.y;
}
