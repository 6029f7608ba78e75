// count_non_finite: how many elements are NaN or infinite.
//   x [n]   ->   counts [m], one of which it is added to
// Looks at bits, since compilers may take it that floats are finite. Bound by memory: reads x once.

struct Params {
  total: u32,
  at: u32, // which of the counts
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

const EXPONENT = 0x7f800000u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  var found = 0u;
  for (var i = id.x; i < p.total; i += groups.x * 64u) {
    found += select(0u, 1u, (x[i] & EXPONENT) == EXPONENT);
  }
  if (found > 0u) {
    atomicAdd(&counts[p.at], found);
  }
}
