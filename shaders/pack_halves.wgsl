// pack_halves: rows of activations as halves, two to a word, for tensor cores.
//   x [rows, depth] f32, depth a multiple of 4   ->   y [padded_rows, 8 * stride8] halves, zeros behind the last of x
// Bound by memory: reads 4 bytes and writes 2 for each element. One invocation makes eight. They are divided by DIVISOR, a power of
// two, since activations may be beyond 65504, where halves end.

struct Params { rows: u32, padded_rows: u32, depth: u32, stride8: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

fn input(row: u32, k: u32) -> vec4<f32> {
  if (k >= p.depth || row >= p.rows) {
    return vec4<f32>();
  }
  let value = x[(row * p.depth + k) / 4u];
  if (SILU) {
    return value / (1.0 + exp(-value)) / f32(DIVISOR);
  }
  return value / f32(DIVISOR);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let eight = (group.x + group.y * groups.x) * 64u + lane;
  let row = eight / p.stride8;
  if (row >= p.padded_rows) {
    return;
  }
  let k = eight % p.stride8 * 8u;
  let left = input(row, k);
  let right = input(row, k + 4u);
  y[eight] = vec4<u32>(
    pack2x16float(left.xy),
    pack2x16float(left.zw),
    pack2x16float(right.xy),
    pack2x16float(right.zw),
  );
}
