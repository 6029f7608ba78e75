// upsample_nearest: each pixel becomes factor x factor pixels.
//   x [B, H, W, C]   ->   y [B, H * factor, W * factor, C]
// Bound by memory: reads x factor^2 times (mostly from cache), writes y once.

struct Params { factor: u32, width: u32, columns: u32, total: u32 }

@group(0) @binding(0) var<storage, read> x: array<Lanes>;
@group(0) @binding(1) var<storage, read_write> y: array<Lanes>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total / LANES) {
    return;
  }
  let columns = p.columns / LANES;
  let pixel = i / columns;
  let row = pixel / (p.width * p.factor); // over all samples, whose heights grow alike
  let at_x = (pixel - row * p.width * p.factor) / p.factor;
  y[i] = x[(row / p.factor * p.width + at_x) * columns + i - pixel * columns];
}
