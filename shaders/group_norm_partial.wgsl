// group_norm_partial: mean and sum of squared deviations of every channel over runs of pixels, by Welford's recurrence.
//   x [B, P, C]   ->   moments [B, RUNS, C] of (mean, sum of squared deviations)
// Runs are short and their moments are merged later, so no digits are lost over a million pixels. Invocations beside each other
// take neighbouring channels of the same pixel. Bound by memory: reads x once.

struct Params {
  samples: u32, // B
  pixels: u32, // P
  columns: u32, // C
  runs: u32,
  run_length: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Lanes>;
@group(0) @binding(1) var<storage, read_write> moments: array<Lanes>; // means of LANES channels, then their squares
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let columns = p.columns / LANES;
  let i = id.x + id.y * groups.x * 64u;
  let column = i % columns;
  let run = (i / columns) % p.runs;
  let sample = i / columns / p.runs;
  if (sample >= p.samples) {
    return;
  }
  let first = run * p.run_length;
  let count = min(p.run_length, p.pixels - first);
  var at = (sample * p.pixels + first) * columns + column;
  var mean = x[at];
  var squares = Lanes();
  for (var n = 2u; n <= count; n++) {
    at += columns;
    let v = x[at];
    let d = v - mean;
    mean += d / f32(n);
    squares += d * (v - mean);
  }
  moments[2u * i] = mean;
  moments[2u * i + 1u] = squares;
}
