// conv2d: a convolution over channels-last images, the portable kernel.
//   x [B, H, W, CI]   w [K * K * CI, columns]   bias [CO]   ->   y [B, HO, WO, CO]
// An invocation makes 4 neighbouring channels of PIXELS neighbouring outputs; neighbours in the workgroup take other channels
// of the same outputs. Bound by loads: PIXELS + 4 numbers for 4 * PIXELS products; 2 * K^2 * CI * CO FLOP an output.

const PIXELS = 8u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<WeightVec>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

// Channels 4 * column .. 4 * column + 3 of an output.
fn store(output: u32, column: u32, sums: vec4<f32>) {
  for (var j = 0u; j < 4u; j++) {
    let channel = column * 4u + j;
    if (channel < p.columns) {
      var value = sums[j];
      if (HAS_BIAS) {
        value += bias[channel];
      }
      let at = output * p.columns + channel;
      if (p.add == 1u) {
        value += y[at];
      }
      y[at] = value;
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let columns = p.columns4;
  let i = id.x + id.y * groups.x * 64u;
  let column = i % columns;
  let first = i / columns * PIXELS;
  if (first >= p.rows) {
    return;
  }
  var sums: array<vec4<f32>, PIXELS>;
  for (var ky = 0u; ky < p.kernel; ky++) {
    for (var kx = 0u; kx < p.kernel; kx++) {
      var at: array<i32, PIXELS>;
      for (var j = 0u; j < PIXELS; j++) {
        at[j] = pixel_at(window_of(min(first + j, p.rows - 1u)), ky, kx);
      }
      let weights = (ky * p.kernel + kx) * p.channels * columns + column;
      for (var c = 0u; c < p.channels; c++) {
        let weight = weight4(w[weights + c * columns]);
        for (var j = 0u; j < PIXELS; j++) {
          sums[j] += select(0.0, x[u32(max(at[j], 0)) + c], at[j] >= 0) * weight;
        }
      }
    }
  }
  for (var j = 0u; j < PIXELS; j++) {
    if (first + j < p.rows) {
      store(first + j, column, sums[j]);
    }
  }
}
