// attention_transpose: turns keys on their side, so that they can be the weights of a matmul.
//   k [Nk, D]   ->   y [D, 4 * padded4] as weights are stored, 4 * padded4 >= Nk, the last key again behind the last
// Bound by memory: reads k, writes y once; a lane writes one quad of keys. weight4_f32.wgsl or weight4_f16.wgsl say how y is stored.

struct Params { keys: u32, width: u32, padded4: u32 }

@group(0) @binding(0) var<storage, read> k: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<WeightVec>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * 64u;
  if (index >= p.width * p.padded4) {
    return;
  }
  let key = index % p.padded4 * 4u;
  let d = index / p.padded4;
  var quad = vec4<f32>(0.0);
  for (var i = 0u; i < 4u; i++) {
    quad[i] = k[min(key + i, p.keys - 1u) * p.width + d];
  }
  y[index] = stored4(quad);
}
