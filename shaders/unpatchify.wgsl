// unpatchify: rows of P x P pixels, channels innermost, become an image again; channels behind the first C are dropped.
//   tokens [B, (h / P) (w / P), P * P * Cout]   ->   y [B, C, h, w]
// Bound by memory: reads what is kept of the tokens, writes y.

struct Params {
  total: u32, // elements of y
  channels: u32, // C
  token_channels: u32, // Cout
  grid_height: u32, // h / P
  grid_width: u32, // w / P
  side: u32, // P
}

@group(0) @binding(0) var<storage, read> tokens: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let width = p.grid_width * p.side;
  let height = p.grid_height * p.side;
  let line = i / width; // counted through planes
  let column = i - line * width;
  let plane = line / height;
  let row = line - plane * height;
  let b = plane / p.channels;
  let c = plane - b * p.channels;
  let token = (b * p.grid_height + row / p.side) * p.grid_width + column / p.side;
  let place = (row % p.side) * p.side + column % p.side;
  y[i] = tokens[(token * p.side * p.side + place) * p.token_channels + c];
}
