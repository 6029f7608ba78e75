// project_latents: a colour for each latent pixel, as a linear mix of its channels.
//   x [B, C, h, w]   factors [C + 1, 3], the last row a bias   ->   y [B, h, w, 3]
// y = bias + scale * x . factors. Bound by memory: reads x, writes y.

struct Params {
  total: u32, // B * h * w
  channels: u32, // C
  pixels: u32, // h * w
  scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> factors: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let first = (i / p.pixels) * p.channels * p.pixels + i % p.pixels;
  let bias = 3u * p.channels;
  var colour = vec3f(factors[bias], factors[bias + 1u], factors[bias + 2u]);
  for (var c = 0u; c < p.channels; c++) {
    let at = 3u * c;
    colour += p.scale * x[first + c * p.pixels] * vec3f(factors[at], factors[at + 1u], factors[at + 2u]);
  }
  y[3u * i] = colour.x;
  y[3u * i + 1u] = colour.y;
  y[3u * i + 2u] = colour.z;
}
