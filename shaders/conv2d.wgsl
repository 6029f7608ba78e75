// conv2d: a convolution over channels-last images, the portable kernel.
//   x [B, H, W, CI]   w [KERNEL * KERNEL * CI, columns]   bias [CO]   ->   y [B, HO, WO, CO]
// An invocation makes 4 neighbouring channels of PIXELS neighbouring outputs; neighbours in the workgroup take other channels
// of the same outputs. Bound by loads: PIXELS + 4 numbers for 4 * PIXELS products; 2 * KERNEL^2 * CI * CO FLOP an output.
// UPSAMPLE reads x as if each of its pixels were 2 x 2; ADD adds to what y holds.

const PIXELS = 8u;

struct Params {
  height: u32, // H, W of x, after upsampling
  width: u32,
  channels: u32, // CI
  out_height: u32, // HO, WO
  out_width: u32,
  out_channels: u32, // CO
  outputs: u32, // B * HO * WO
  stride: u32,
  top: i32,
  left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<WeightVec>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let columns = (p.out_channels + 3u) / 4u;
  let i = id.x + id.y * groups.x * 64u;
  let column = i % columns;
  let first = i / columns * PIXELS;
  if (first >= p.outputs) {
    return;
  }
  var sums: array<vec4<f32>, PIXELS>;
  for (var ky = 0u; ky < KERNEL; ky++) {
    for (var kx = 0u; kx < KERNEL; kx++) {
      var at: array<i32, PIXELS>;
      for (var j = 0u; j < PIXELS; j++) {
        at[j] = pixel_at(window_of(min(first + j, p.outputs - 1u)), ky, kx);
      }
      let weights = (ky * KERNEL + kx) * p.channels * columns + column;
      for (var c = 0u; c < p.channels; c++) {
        let weight = weight4(w[weights + c * columns]);
        for (var j = 0u; j < PIXELS; j++) {
          sums[j] += load(at[j], c) * weight;
        }
      }
    }
  }
  for (var j = 0u; j < PIXELS; j++) {
    if (first + j < p.outputs) {
      store(first + j, column, sums[j]);
    }
  }
}
