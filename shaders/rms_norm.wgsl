// rms_norm: y = x / sqrt(mean(x^2) + eps) * weight over the last axis, ROWS rows a workgroup.
//   x [R, C]   weight [C]   ->   y [R, C]
// Sums in f32. Bound by memory: reads x twice (the second time from cache), writes y once. What y is: result_lanes.wgsl,
// result_halves.wgsl.

struct Params { rows: u32, columns: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> x: array<Lanes>;
@group(0) @binding(1) var<storage, read> weight: array<Lanes>;
@group(0) @binding(2) var<storage, read_write> y: array<Result>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WORKERS)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) worker: u32,
) {
  let first = (id.x + id.y * groups.x) * ROWS;
  if (first >= p.rows) {
    return; // the grid is a rectangle and may hold more groups than are needed
  }
  let length = p.columns / LANES;
  var start: array<u32, ROWS>;
  var factor: array<f32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    start[r] = min(first + r, p.rows - 1u) * length;
    var sum = Lanes();
    for (var i = worker; i < length; i += WORKERS) {
      let v = x[start[r] + i];
      sum += v * v;
    }
    factor[r] = inverseSqrt(workgroup_sum(lane_sum(sum), worker) / f32(p.columns) + p.eps);
  }
  for (var i = worker; i < length; i += WORKERS) {
    let w = weight[i];
    for (var r = 0u; r < ROWS; r++) {
      if (first + r < p.rows) {
        y[start[r] + i] = result(x[start[r] + i] * factor[r] * w);
      }
    }
  }
}
