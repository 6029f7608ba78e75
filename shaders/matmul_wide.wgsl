// matmul: y = x w, for devices that are wide CPUs underneath: a subgroup of 8 lanes owns ROWS rows by 32 columns.
//   x [M, K]   w [K, 4 * columns4]   ->   y [M, N]
// 2 M K N FLOP. There a load costs many times a multiply-add and cached addresses save nothing, so that loads per multiply-add are
// what bounds it: every lane loads one number of x for 8 steps of k, and the others get it by broadcast. The weights of those
// 8 steps stay at hand while the rows pass by. Bindings and the end: matmul_epilogue.wgsl.

const LANES = 8u;

fn input(index: u32) -> f32 {
  let value = x[index];
  if (INPUT_SILU) {
    return value / (1.0 + exp(-value));
  }
  return value;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.x + group.y * groups.x;
  let first_row = tile / p.column_groups * ROWS;
  let column4 = tile % p.column_groups * LANES + lane;
  let column_at = min(column4, p.columns4 - 1u);
  let last_row = p.rows - 1u;
  let last_k = p.depth - 1u;
  var sums: array<vec4<f32>, ROWS>;
  for (var k = 0u; k < p.depth; k += LANES) {
    var b = array<vec4<f32>, LANES>();
    for (var i = 0u; i < LANES; i++) {
      b[i] = weight4(w[min(k + i, last_k) * p.columns4 + column_at]);
    }
    let k_at = min(k + lane, last_k);
    for (var r = 0u; r < ROWS; r++) {
      let a = select(0.0, input(min(first_row + r, last_row) * p.depth + k_at), k + lane < p.depth);
      var sum = sums[r];
      sum = fma(vec4<f32>(subgroupBroadcast(a, 0u)), b[0], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 1u)), b[1], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 2u)), b[2], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 3u)), b[3], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 4u)), b[4], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 5u)), b[5], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 6u)), b[6], sum);
      sum = fma(vec4<f32>(subgroupBroadcast(a, 7u)), b[7], sum);
      sums[r] = sum;
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    finish(first_row + r, column4, sums[r]);
  }
}
