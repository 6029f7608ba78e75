// weigh_tokens: embeddings further from those of an empty prompt, or nearer, each token by its own weight.
//   e [1, L, C]   w [B, L]   ->   x [B, L, C], in place
// x = (x - e) * w + e; a token of weight 1 is not touched, to the last bit. Bound by memory: x twice, e once a sample.

struct Params {
  total: u32, // B * L * C
  item: u32, // L * C
  width: u32, // C
}

@group(0) @binding(0) var<storage, read> e: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let weight = w[i / p.width];
  if (weight == 1.0) {
    return;
  }
  let empty = e[i % p.item];
  x[i] = (x[i] - empty) * weight + empty;
}
