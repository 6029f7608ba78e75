// conv2d_wide: a convolution over channels-last images, for CPUs with subgroups of 8.
//   x [B, H, W, CI]   w [KERNEL * KERNEL * CI, columns]   bias [CO]   ->   y [B, HO, WO, CO]
// A workgroup is one subgroup and makes 32 channels, four a lane, of PIXELS neighbouring outputs. Each lane loads one pixel of
// eight and the subgroup passes it round, so that a load serves 32 products: there a load costs more than anything else.
// 2 * KERNEL^2 * CI * CO FLOP an output. UPSAMPLE reads x as if each of its pixels were 2 x 2; ADD adds to what y holds.

const PIXELS = 16u;
const LANES = 8u;

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

// Adds the products of eight pixels, one held by each lane, with four weights of this lane.
fn spread(sums: ptr<function, array<vec4<f32>, 8>>, pixel: f32, weight: vec4<f32>) {
  (*sums)[0] = fma(vec4<f32>(subgroupBroadcast(pixel, 0u)), weight, (*sums)[0]);
  (*sums)[1] = fma(vec4<f32>(subgroupBroadcast(pixel, 1u)), weight, (*sums)[1]);
  (*sums)[2] = fma(vec4<f32>(subgroupBroadcast(pixel, 2u)), weight, (*sums)[2]);
  (*sums)[3] = fma(vec4<f32>(subgroupBroadcast(pixel, 3u)), weight, (*sums)[3]);
  (*sums)[4] = fma(vec4<f32>(subgroupBroadcast(pixel, 4u)), weight, (*sums)[4]);
  (*sums)[5] = fma(vec4<f32>(subgroupBroadcast(pixel, 5u)), weight, (*sums)[5]);
  (*sums)[6] = fma(vec4<f32>(subgroupBroadcast(pixel, 6u)), weight, (*sums)[6]);
  (*sums)[7] = fma(vec4<f32>(subgroupBroadcast(pixel, 7u)), weight, (*sums)[7]);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let columns = (p.out_channels + 3u) / 4u;
  let blocks = (columns + LANES - 1u) / LANES;
  let i = id.x + id.y * groups.x;
  let first = i / blocks * PIXELS;
  let column = i % blocks * LANES + lane;
  let weight_column = min(column, columns - 1u);
  let low = window_of(min(first + lane, p.outputs - 1u));
  let high = window_of(min(first + 8u + lane, p.outputs - 1u));
  var low_sums: array<vec4<f32>, 8>;
  var high_sums: array<vec4<f32>, 8>;
  for (var ky = 0u; ky < KERNEL; ky++) {
    for (var kx = 0u; kx < KERNEL; kx++) {
      let low_at = pixel_at(low, ky, kx);
      let high_at = pixel_at(high, ky, kx);
      let weights = (ky * KERNEL + kx) * p.channels * columns + weight_column;
      for (var c = 0u; c < p.channels; c++) {
        let weight = weight4(w[weights + c * columns]);
        spread(&low_sums, load(low_at, c), weight);
        spread(&high_sums, load(high_at, c), weight);
      }
    }
  }
  if (column < columns) {
    for (var j = 0u; j < 8u; j++) {
      if (first + j < p.outputs) {
        store(first + j, column, low_sums[j]);
      }
      if (first + 8u + j < p.outputs) {
        store(first + 8u + j, column, high_sums[j]);
      }
    }
  }
}
