// group_norm_apply: y = (x - mean) * factor + bias, then SiLU where it is asked for.
//   x [B, P, C]   factors [B, 2, C]: mean, weight / deviation   bias [C]   ->   y [B, P, C], as Result; and PADDED, a pixel of zeros
// An invocation takes LANES channels of a run of pixels, so that it loads their factors once.
// Bound by memory: reads x once, writes y once.

struct Params {
  samples: u32, // B
  pixels: u32, // P
  columns: u32, // C
  runs: u32,
  run_length: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Lanes>;
@group(0) @binding(1) var<storage, read> factors: array<Lanes>;
@group(0) @binding(2) var<storage, read> bias: array<Lanes>;
@group(0) @binding(3) var<storage, read_write> y: array<Result>;
@group(0) @binding(4) var<uniform> p: Params;

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
  let mean = factors[sample * 2u * columns + column];
  let factor = factors[(sample * 2u + 1u) * columns + column];
  let term = bias[column];
  let first = run * p.run_length;
  let end = min(first + p.run_length, p.pixels);
  for (var pixel = first; pixel < end; pixel++) {
    let at = (sample * p.pixels + pixel) * columns + column;
    var v = (x[at] - mean) * factor + term;
    if (SILU) {
      v = v / (1.0 + exp(-v));
    }
    y[at] = result(v);
  }
  if (PADDED && sample * p.runs + run == p.samples * p.runs - 1u) {
    y[p.samples * p.pixels * columns + column] = Result();
  }
}
