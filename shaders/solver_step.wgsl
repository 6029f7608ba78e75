// solver_step: one step of a sampler, from the model's raw output to the new sample.
//   output [answers B, Cout, h, w]   x [B, C, h, w]   ->   x, in place; history [SLOTS, B, C, h, w], the newest m written
// With m the prediction that is clipped and restored as the plan says, k1, k2, k3 up to three kept ones of any age, o the model's
// guided output and z noise, scaled by the variance v in the C channels behind the prediction where the plan says so:
//   x = sample * x + h0 * m + h1 * k1 + h2 * k2 + h3 * k3 + raw_output * o + noise * z
// Everything that varies is a parameter, so that one pipeline runs every method. Bound by memory: each tensor once.

struct Params {
  total: u32, // B * C * h * w
  item: u32, // C * h * w
  output_item: u32, // Cout * h * w
  answers: u32, // of the model to each sample, from 1 to 3
  guided: u32, // how many values of an output item are guided; those behind are the last answer's
  guidance1: f32,
  guidance2: f32,
  convert_sample: f32,
  convert_output: f32,
  clip: u32, // 0 none, 1 by `max`, 2 by the bound of the batch item
  max: f32,
  restores: u32,
  restore_sample: f32,
  restore_output: f32,
  sample: f32,
  h0: f32,
  h1: f32,
  h2: f32,
  h3: f32,
  reads: u32, // how many of h1 to h3 count
  writes: u32, // whether m is kept
  slot0: u32,
  slot1: u32,
  slot2: u32,
  slot3: u32,
  raw_output: f32,
  noise: f32,
  scale: u32, // of z: 0 none, 1 exp(slope * v), 2 sqrt(v)
  slope: f32,
}

@group(0) @binding(0) var<storage, read> output: array<f32>;
@group(0) @binding(1) var<storage, read> bound: array<f32>;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> history: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

// clamp() may turn a NaN into a number, and a NaN must stay one to be found.
fn clamp_kept(value: f32, limit: f32) -> f32 {
  let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
  return select(clamp(value, -limit, limit), value, is_nan);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let now = x[i];
  let model_output = solver_output(i, 0u);
  var m = solver_prediction(now, model_output);
  if (p.clip == 1u) {
    m = clamp_kept(m, p.max);
  } else if (p.clip == 2u) {
    let limit = bound[i / p.item];
    m = clamp_kept(m, limit) / limit;
  }
  if (p.restores != 0u) {
    m = p.restore_sample * now + p.restore_output * m;
  }
  var next = p.sample * now + p.h0 * m;
  if (p.reads > 0u) {
    next += p.h1 * history[p.slot1 * p.total + i];
  }
  if (p.reads > 1u) {
    next += p.h2 * history[p.slot2 * p.total + i];
  }
  if (p.reads > 2u) {
    next += p.h3 * history[p.slot3 * p.total + i];
  }
  // A factor of 0 must not make a NaN of an infinite output.
  if (p.raw_output != 0.0) {
    next += p.raw_output * model_output;
  }
  if (p.noise != 0.0) {
    var deviation = p.noise;
    if (p.scale == 1u) {
      deviation *= exp(p.slope * solver_output(i, p.item));
    } else if (p.scale == 2u) {
      deviation *= sqrt(solver_output(i, p.item));
    }
    next += deviation * z[i];
  }
  // The slot of m may be the one of the oldest prediction, which was read above by this very invocation.
  if (p.writes != 0u) {
    history[p.slot0 * p.total + i] = m;
  }
  x[i] = next;
}
