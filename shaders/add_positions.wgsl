// add_positions: adds to every token of a grid what stands for its place, in place: its column in the first half of the channels, its
// row in the second.
//   x [B, H W, C]   columns [W, C / 2]   rows [H, C / 2]   ->   x
// Bound by memory: reads and writes x; the tables stay in cache.

struct Params {
  total: u32, // elements of x that are bound
  first: u32, // the token that they start with, counted through the batch
  height: u32, // H
  width: u32, // W
  half: u32, // C / 2
}

@group(0) @binding(0) var<storage, read> columns: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let token = i / (2u * p.half);
  let channel = i - token * 2u * p.half;
  let place = (p.first + token) % (p.height * p.width);
  let row = place / p.width;
  if (channel < p.half) {
    x[i] += columns[(place - row * p.width) * p.half + channel];
  } else {
    x[i] += rows[row * p.half + channel - p.half];
  }
}
