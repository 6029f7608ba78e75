// layer_norm: y = normalize(x) * (one + scale) + shift over the last axis, ROWS rows of one sample a workgroup.
//   x [B, N, C]   scale, shift: a row of C for each sample, inside larger tables   ->   y [B, N, C]
// `one` is 1 for a modulation and 0 for a learned weight. Mean and variance in one pass (Welford 1962; Chan, Golub and LeVeque 1979 for
// what the workers found), in f32: as exact as two passes, and a third less to read, which is what counts where a load costs much.
// Bound by memory: reads x twice (the second time from cache), writes y once. What y is: result_lanes.wgsl, result_halves.wgsl.

struct Params {
  samples: u32, // B
  rows: u32, // N
  columns: u32, // C
  groups_per_sample: u32,
  scale_offset: u32,
  scale_stride: u32,
  shift_offset: u32,
  shift_stride: u32,
  one: f32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Lanes>;
@group(0) @binding(1) var<storage, read> scale: array<Lanes>;
@group(0) @binding(2) var<storage, read> shift: array<Lanes>;
@group(0) @binding(3) var<storage, read_write> y: array<Result>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WORKERS)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) worker: u32,
) {
  let group = id.x + id.y * groups.x;
  let sample = group / p.groups_per_sample;
  if (sample >= p.samples) {
    return; // the grid is a rectangle and may hold more groups than are needed
  }
  let first = (group - sample * p.groups_per_sample) * ROWS;
  let length = p.columns / LANES;
  var start: array<u32, ROWS>;
  var mean: array<f32, ROWS>;
  var rstd: array<f32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    start[r] = (sample * p.rows + min(first + r, p.rows - 1u)) * length;
    var count = 0.0;
    var center = Lanes(); // the mean of what this worker has read
    var squares = Lanes(); // the sum of squared distances from it
    for (var i = worker; i < length; i += WORKERS) {
      let value = x[start[r] + i];
      let before = value - center;
      count += 1.0;
      center += before * (1.0 / count);
      squares += before * (value - center);
    }
    mean[r] = workgroup_sum(lane_sum(center) * count, worker) / f32(p.columns);
    let off = center - mean[r];
    rstd[r] = inverseSqrt(workgroup_sum(lane_sum(squares + count * off * off), worker) / f32(p.columns) + p.eps);
  }
  for (var i = worker; i < length; i += WORKERS) {
    var factor = Lanes() + 1.0;
    var term = Lanes();
    if (HAS_SCALE) {
      factor = p.one + scale[(p.scale_offset + sample * p.scale_stride) / LANES + i];
    }
    if (HAS_SHIFT) {
      term = shift[(p.shift_offset + sample * p.shift_stride) / LANES + i];
    }
    for (var r = 0u; r < ROWS; r++) {
      if (first + r < p.rows) {
        y[start[r] + i] = result((x[start[r] + i] - mean[r]) * rstd[r] * factor + term);
      }
    }
  }
}
