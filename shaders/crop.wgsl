// crop: a window of an image.
//   x [B, H, W, C]   ->   y [B, H', W', C], the window at (top, left)
// Bound by memory: reads the window, writes it.

struct Params {
  total: u32, // elements of y
  in_height: u32, // H
  in_width: u32, // W
  channels: u32, // C
  height: u32, // H'
  width: u32, // W'
  top: u32,
  left: u32,
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
  let row_size = p.width * p.channels;
  let line = i / row_size; // counted through the batch
  let b = line / p.height;
  let from_line = b * p.in_height + p.top + line - b * p.height;
  y[i] = x[(from_line * p.in_width + p.left) * p.channels + i - line * row_size];
}
