// add: y = x + b, where b repeats along the outer axes.
//   x [.., n]   b [.., start: start + n]   ->   y [.., n]
// Bound by memory: reads x, writes y; b stays in cache.

struct Params { total: u32, start: u32, period: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < p.total) {
    y[i] = x[i] + b[p.start + i % p.period];
  }
}
