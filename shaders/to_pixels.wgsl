// to_pixels: an image in -1..1 becomes bytes, four to a word: red lowest, then green, blue and 255.
//   x [B, H, W, 3]   ->   y [B, H, W]
// round(255 * clamp(x / 2 + 1/2, 0, 1)), ties to even as NumPy rounds. A NaN becomes 0. Bound by memory: reads x, writes y.

struct Params {
  total: u32, // B * H * W
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

fn byte(value: f32) -> u32 {
  let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
  let scaled = round(255.0 * clamp(value * 0.5 + 0.5, 0.0, 1.0));
  return select(u32(scaled), 0u, is_nan);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  y[i] = byte(x[3u * i]) | (byte(x[3u * i + 1u]) << 8u) | (byte(x[3u * i + 2u]) << 16u) | 0xff000000u;
}
