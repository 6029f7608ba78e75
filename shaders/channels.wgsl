// channels: y = x * scale + shift with the two inner axes swapped.
//   x [B, R, S]   ->   y [B, S, R]
// Images to channels last (R channels, S pixels) and back (R pixels, S channels). Bound by memory: reads x, writes y.

struct Params {
  total: u32, // B * R * S
  rows: u32, // R
  columns: u32, // S
  scale: f32,
  shift: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let outer = i / p.rows; // b * S + s
  let r = i - outer * p.rows;
  let b = outer / p.columns;
  let s = outer - b * p.columns;
  y[i] = x[(b * p.rows + r) * p.columns + s] * p.scale + p.shift;
}
