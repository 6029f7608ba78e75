// group_norm_merge: the moments of runs and channels become mean and deviation of each group; one workgroup a group.
//   moments [B, RUNS, C] of (mean, sum of squared deviations)   weight [C]   ->   factors [B, 2, C]: mean, weight / deviation
// First the mean of all means, weighted by the pixels of each run; then the squared deviations around it.
// Bound by memory, over very little of it.

struct Params {
  pixels: u32, // P
  columns: u32, // C
  groups: u32,
  runs: u32,
  run_length: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> moments: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> factors: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

// Where the mean of channel `column` in a run lies; its squares follow LANES floats later.
fn place(sample: u32, run: u32, column: u32) -> u32 {
  let vector = (sample * p.runs + run) * (p.columns / LANES) + column / LANES;
  return vector * 2u * LANES + column % LANES;
}

fn pixels_of(run: u32) -> f32 {
  return f32(min(p.run_length, p.pixels - run * p.run_length));
}

@compute @workgroup_size(WORKERS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) worker: u32) {
  let width = p.columns / p.groups;
  let count = p.runs * width;
  let total = f32(p.pixels) * f32(width);
  var sum = 0.0;
  for (var i = worker; i < count; i += WORKERS) {
    let run = i / width;
    sum += moments[place(id.y, run, id.x * width + i % width)] * (pixels_of(run) / total);
  }
  let mean = workgroup_sum(sum, worker);
  sum = 0.0;
  for (var i = worker; i < count; i += WORKERS) {
    let run = i / width;
    let at = place(id.y, run, id.x * width + i % width);
    let d = moments[at] - mean;
    sum += moments[at + LANES] + pixels_of(run) * d * d;
  }
  let rstd = inverseSqrt(workgroup_sum(sum, worker) / total + p.eps);
  for (var i = worker; i < width; i += WORKERS) {
    let column = id.x * width + i;
    factors[id.y * 2u * p.columns + column] = mean;
    factors[(id.y * 2u + 1u) * p.columns + column] = rstd * weight[column];
  }
}
