// attention_softmax: rows of scores become weights, softmax(scale s + mask), a workgroup a row.
//   s [rows, 4 * quads]   mask [Nk], after mask_offset floats   ->   y [rows, 4 * quads] as weights of a matmul are stored
// Weights behind the last of Nk keys are zeros. Bound by memory: reads s three times (the later ones from cache), writes y once.
// weight4_f32.wgsl or weight4_f16.wgsl say how y is stored.

struct Params { rows: u32, keys: u32, quads: u32, scale: f32, masked: u32, mask_offset: u32 }

@group(0) @binding(0) var<storage, read> s: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<WeightVec>;
@group(0) @binding(3) var<uniform> p: Params;

const LOWEST = -3.4028234e38;

fn mask_quad(key: u32) -> vec4<f32> {
  let at = p.mask_offset + key;
  let last = p.mask_offset + p.keys - 1u;
  return vec4<f32>(mask[at], mask[min(at + 1u, last)], mask[min(at + 2u, last)], mask[min(at + 3u, last)]);
}

fn inside(quad: u32) -> vec4<bool> {
  return quad * 4u + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.keys);
}

fn scores(first: u32, quad: u32) -> vec4<f32> {
  var value = s[first + quad] * p.scale;
  if (p.masked != 0u) {
    value += mask_quad(min(quad * 4u, p.keys - 1u));
  }
  return select(vec4<f32>(LOWEST), value, inside(quad));
}

@compute @workgroup_size(WORKERS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) worker: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= p.rows) {
    return; // the grid is a rectangle and may hold more groups than are needed
  }
  let first = row * p.quads;
  var tops = vec4<f32>(LOWEST);
  for (var quad = worker; quad < p.quads; quad += WORKERS) {
    tops = max(tops, scores(first, quad));
  }
  let highest = workgroup_max(max(max(tops.x, tops.y), max(tops.z, tops.w)), worker);
  var totals = vec4<f32>();
  for (var quad = worker; quad < p.quads; quad += WORKERS) {
    totals += select(vec4<f32>(), exp(scores(first, quad) - highest), inside(quad));
  }
  let share = 1.0 / workgroup_sum(dot(totals, vec4<f32>(1.0)), worker);
  for (var quad = worker; quad < p.quads; quad += WORKERS) {
    y[first + quad] = stored4(select(vec4<f32>(), exp(scores(first, quad) - highest) * share, inside(quad)));
  }
}
