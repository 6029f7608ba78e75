// What all attention kernels share, appended behind each: bindings, Params, and what is added to a score.
//   q: head h of token t of sample b starts at q_offset + (b N + t) q_stride + h D, all in quads of floats; k and v alike
//   mask [B, Nk] and relative_bias [H, N + Nk - 1] are added to scores   ->   y [B, N, H D]   log_sums [B, N, H]
// A log sum is the logarithm of the sum of exp(score) over the keys: what it takes to merge attention over some keys with others.

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  quads: u32, // of a head; not a constant, so that loops over them stay loops
  q_stride: u32,
  q_offset: u32,
  k_stride: u32,
  k_offset: u32,
  v_stride: u32,
  v_offset: u32,
  scale: f32,
  flags: u32, // which of mask and relative_bias there are; not constants, so that all attention of one width shares a pipeline
  first_sample: u32, // of this dispatch, for the mask
}

const WITH_MASK = 1u;
const WITH_BIAS = 2u;

// Below every score, yet finite: a row whose keys are all masked by the lowest float still is a softmax.
const LOWEST = -3.4028234e38;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read> relative_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;

// What is added to the score of a key. No branches on flags: old lavapipes compile a kernel anew for every run whose branches hang
// on uniforms alone.
fn hidden_by(sample: u32, key: u32) -> f32 {
  let masked = (p.flags & WITH_MASK) != 0u;
  let at = (p.first_sample + sample) * p.keys + key;
  let hidden = mask[select(0u, at, masked)];
  return select(0.0, hidden, masked);
}

fn bias_of(head: u32, query: u32, key: u32) -> f32 {
  let biased = (p.flags & WITH_BIAS) != 0u;
  let at = head * (p.queries + p.keys - 1u) + key + p.queries - 1u - query;
  let bias = relative_bias[select(0u, at, biased)];
  return select(0.0, bias, biased);
}

fn added(sample: u32, head: u32, query: u32, key: u32) -> f32 {
  return bias_of(head, query, key) + hidden_by(sample, key);
}
