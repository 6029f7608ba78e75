// patchify: squares of P x P pixels become rows, channels outermost, so that a strided convolution is a matmul.
//   x [B, Cin, h, w]   ->   y [B', (h / P) (w / P), Cin * P * P], sample b of B' read from b mod B, times `scale`
// Bound by memory: reads x once for each repetition, writes y.

struct Params {
  total: u32, // elements of y
  samples: u32, // B
  channels: u32, // Cin
  grid_height: u32, // h / P
  grid_width: u32, // w / P
  side: u32, // P
  scale: f32,
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
  let area = p.side * p.side;
  let token = i / (p.channels * area);
  let place = i - token * p.channels * area;
  let c = place / area;
  let row = (place - c * area) / p.side;
  let column = place % p.side;
  let grid_row = token / p.grid_width; // counted through the batch
  let grid_column = token - grid_row * p.grid_width;
  let b = grid_row / p.grid_height;
  let top = (grid_row - b * p.grid_height) * p.side;
  let plane = (b % p.samples) * p.channels + c;
  let width = p.grid_width * p.side;
  let line = plane * p.grid_height * p.side + top + row;
  y[i] = p.scale * x[line * width + grid_column * p.side + column];
}
