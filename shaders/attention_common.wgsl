// What all attention kernels share, appended behind each: bindings, Params, and what is added to a score.
//   q: head h of token t of sample b starts at q_offset + (b N + t) q_stride + h D, all in quads of floats; k and v alike
//   mask [B, Nk] and relative_bias [H, N + Nk - 1] are added to scores   ->   y [B, N, H D]

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  q_stride: u32,
  q_offset: u32,
  k_stride: u32,
  k_offset: u32,
  v_stride: u32,
  v_offset: u32,
  scale: f32,
}

// Below every score, yet finite: a row whose keys are all masked by the lowest float still is a softmax.
const LOWEST = -3.4028234e38;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k: array<Element>;
@group(0) @binding(2) var<storage, read> v: array<Element>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read> relative_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> p: Params;

// Scores of four neighbouring keys for one query, with mask and bias; keys behind the last one get the lowest score.
fn with_bias(scores: vec4<f32>, sample: u32, head: u32, query: u32, key: u32) -> vec4<f32> {
  var result = scores;
  for (var i = 0u; i < 4u; i++) {
    let at = min(key + i, p.keys - 1u);
    if (HAS_BIAS) {
      result[i] += relative_bias[head * (p.queries + p.keys - 1u) + at + p.queries - 1u - query];
    }
    if (HAS_MASK) {
      result[i] += mask[sample * p.keys + at];
    }
    result[i] = select(LOWEST, result[i], key + i < p.keys);
  }
  return result;
}

// exp(scores - highest), and nothing for keys behind the last one.
fn weights_of(scores: vec4<f32>, highest: f32, key: u32) -> vec4<f32> {
  let inside = vec4<u32>(key, key + 1u, key + 2u, key + 3u) < vec4<u32>(p.keys);
  return select(vec4<f32>(0.0), exp(scores - highest), inside);
}

fn highest_of(scores: vec4<f32>) -> f32 {
  return max(max(scores.x, scores.y), max(scores.z, scores.w));
}
