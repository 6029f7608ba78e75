// attention_softmax: turns rows of scores into weights in place, softmax(scale s + mask), a subgroup of 8 lanes a row.
//   s [rows, Nk]   mask [Nk], after mask_offset floats
// Bound by memory: reads s three times, writes it twice.

struct Params { keys: u32, scale: f32, masked: u32, mask_offset: u32 }

@group(0) @binding(0) var<storage, read> mask: array<f32>;
@group(0) @binding(1) var<storage, read_write> s: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

fn score(first: u32, key: u32) -> f32 {
  var value = s[first + key] * p.scale;
  if (p.masked != 0u) {
    value += mask[p.mask_offset + key];
  }
  return value;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * p.keys;
  var highest = -3.4028234e38;
  for (var key = lane; key < p.keys; key += 8u) {
    highest = max(highest, score(first, key));
  }
  highest = subgroupMax(highest);
  var total = 0.0;
  for (var key = lane; key < p.keys; key += 8u) {
    let weight = exp(score(first, key) - highest);
    s[first + key] = weight;
    total += weight;
  }
  let share = 1.0 / subgroupAdd(total);
  for (var key = lane; key < p.keys; key += 8u) {
    s[first + key] *= share;
  }
}
