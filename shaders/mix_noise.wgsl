// mix_noise: clean latents with noise of a level, written over latents everywhere or where a mask keeps the clean ones.
//   clean, z [B, C, h, w]   mask [M, h, w], M 1 or B   ->   x [B, C, h, w], in place
// x = mask * x + (1 - mask) * (keep * clean + add * z); without a mask x is all replaced. Bound by memory: each tensor once.

struct Params {
  total: u32, // B * C * h * w
  item: u32, // C * h * w
  pixels: u32, // h * w
  masks: u32, // M, or 0 without a mask
  keep: f32,
  add: f32,
}

@group(0) @binding(0) var<storage, read> clean: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let noisy = p.keep * clean[i] + p.add * z[i];
  if (p.masks == 0u) {
    x[i] = noisy;
    return;
  }
  let sample = select(0u, i / p.item, p.masks > 1u);
  let m = mask[sample * p.pixels + i % p.pixels];
  x[i] = m * x[i] + (1.0 - m) * noisy;
}
