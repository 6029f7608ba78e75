// What the attention kernels over packed halves share, appended behind each: bindings and Params.
//   mask [B, Nk] and relative_bias [H, N + Nk - 1] are added to scores   ->   y [B, N, H D]   log_sums [B, N, H]

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  quads: u32, // of a head of y
  padded_queries: u32, // whole workgroups
  padded_keys: u32, // whole blocks
  first_sample: u32, // of this dispatch, for the mask
}

// Below every score, yet finite: a row whose keys are all masked by the lowest float still is a softmax.
const LOWEST = -3.4028234e38;

@group(0) @binding(0) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read> relative_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;
