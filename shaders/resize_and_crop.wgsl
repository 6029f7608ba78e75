// resize_and_crop: the window of a resized image, bilinear between pixel centres, without antialiasing.
//   x [B, H, W, C]   ->   y [B, H', W', C], the window at (top, left) of x resized
// Reads four neighbours an element. Bound by memory: reads x once (neighbours from cache), writes y.

struct Params {
  total: u32, // elements of y
  in_height: u32, // H
  in_width: u32, // W
  channels: u32, // C
  out_height: u32, // H'
  out_width: u32, // W'
  top: u32,
  left: u32,
  first_in_row: u32, // of the image, where only some of its rows are bound
  scale_y: f32, // H over the resized height
  scale_x: f32, // W over the resized width
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

// Where a resized pixel's centre lies among the old ones: never before the first.
fn source(pixel: u32, scale: f32) -> f32 {
  return max(scale * (f32(pixel) + 0.5) - 0.5, 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let pixel = i / p.channels;
  let c = i - pixel * p.channels;
  let line = pixel / p.out_width; // counted through the batch
  let b = line / p.out_height;
  let from_y = source(line - b * p.out_height + p.top, p.scale_y);
  let from_x = source(pixel - line * p.out_width + p.left, p.scale_x);
  let y0 = min(u32(from_y), p.in_height - 1u);
  let x0 = min(u32(from_x), p.in_width - 1u);
  let y1 = min(y0 + 1u, p.in_height - 1u);
  let x1 = min(x0 + 1u, p.in_width - 1u);
  let down = from_y - f32(y0);
  let right = from_x - f32(x0);
  let row0 = (b * p.in_height + y0 - p.first_in_row) * p.in_width;
  let row1 = (b * p.in_height + y1 - p.first_in_row) * p.in_width;
  let upper = (1.0 - right) * x[(row0 + x0) * p.channels + c] + right * x[(row0 + x1) * p.channels + c];
  let lower = (1.0 - right) * x[(row1 + x0) * p.channels + c] + right * x[(row1 + x1) * p.channels + c];
  y[i] = (1.0 - down) * upper + down * lower;
}
