// to_image: an image in -1..1 becomes one in 0..1, channels first or last.
//   x [B, H, W, C]   ->   y [B, C, H, W] or [B, H, W, C]
// clamp(x / 2 + 1/2, 0, 1); a NaN stays one. Bound by memory: reads x, writes y.

struct Params {
  total: u32, // B * H * W * C
  pixels: u32, // H * W
  channels: u32, // C
  channels_first: u32,
  channel: u32, // the first one that is written, where they come first
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
  var from_index = i;
  if (p.channels_first != 0u) {
    let plane = i / p.pixels; // b * C + c
    let b = plane / p.channels;
    let c = plane - b * p.channels + p.channel;
    from_index = (b * p.pixels + i - plane * p.pixels) * p.channels + c;
  }
  let value = x[from_index];
  let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
  y[i] = select(clamp(value * 0.5 + 0.5, 0.0, 1.0), value, is_nan);
}
