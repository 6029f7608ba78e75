// sample_posterior: latents drawn from what the VAE's encoder says of them.
//   moments [B, h, w, 2 C], means, then log-variances   z [B, C, h, w]   ->   y [B, C, h, w]
// y = (mean + exp(clamp(logvar, -30, 20) / 2) * z - shift) * scale. Bound by memory: each tensor once.

struct Params {
  total: u32, // B * C * h * w
  channels: u32, // C
  pixels: u32, // h * w
  scale: f32,
  shift: f32,
}

@group(0) @binding(0) var<storage, read> moments: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let plane = i / p.pixels; // b * C + c
  let b = plane / p.channels;
  let at = (b * p.pixels + (i - plane * p.pixels)) * 2u * p.channels + (plane - b * p.channels);
  let deviation = exp(0.5 * clamp(moments[at + p.channels], -30.0, 20.0));
  y[i] = (moments[at] + deviation * z[i] - p.shift) * p.scale;
}
