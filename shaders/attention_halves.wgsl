// What attention by halves shares, appended behind the kernel: bindings and Params.
//   q: head h of token t of sample b starts at q_offset + b q_sample + h q_head + t q_stride, all in 8 halves; k and v alike
//   mask [B, Nk] and relative_bias [H, N + Nk - 1] are added to scores   ->   y [B, N, H D]   log_sums [B, N, H]
// weight4_f32.wgsl or weight4_f16.wgsl say how y is stored.

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  quads: u32, // of a head of y
  depth8: u32, // of a row of q, k or v, as far as it is this head's, in 8 halves
  first_sample: u32, // of this dispatch, for the mask
  scale: f32, // of scores, in units of log 2
  q_offset: u32,
  q_sample: u32,
  q_head: u32,
  q_stride: u32,
  k_offset: u32,
  k_sample: u32,
  k_head: u32,
  k_stride: u32,
  v_offset: u32,
  v_sample: u32,
  v_head: u32,
  v_stride: u32,
}

// Below every score, yet finite: a row whose keys are all masked by the lowest float still is a softmax.
const LOWEST = -3.4028234e38;

@group(0) @binding(0) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read> relative_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<WeightVec>;
@group(0) @binding(6) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;
