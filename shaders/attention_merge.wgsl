// attention_merge: attention over some keys, merged with that over others, in place.
//   y [rows, D], log_sums [rows]   more_y [rows, D], more_log_sums [rows]   ->   y, log_sums over all of these keys
// Each is weighted by its share of the sum of exp(score). A row is one head of one query. Bound by memory: reads both, writes one.

struct Params { rows: u32, quads: u32 }

@group(0) @binding(0) var<storage, read> more_y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> more_log_sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let row = id.x + id.y * groups.x * 64u;
  if (row >= p.rows) {
    return;
  }
  let higher = max(log_sums[row], more_log_sums[row]);
  let old = exp(log_sums[row] - higher);
  let more = exp(more_log_sums[row] - higher);
  let share = more / (old + more);
  for (var d = 0u; d < p.quads; d++) {
    let at = row * p.quads + d;
    y[at] = mix(y[at], more_y[at], vec4<f32>(share));
  }
  log_sums[row] = higher + log(old + more);
}
