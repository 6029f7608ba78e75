// matrix: products of subgroup matrices in registers and nothing else: what the tensor cores of this device can do at most.
//   x [2 left, 2 right] matrices of halves   ->   y [subgroups, 4] matrices of sums
// Four sums that do not depend on each other, STEPS products each; the factors differ, so that no two sums are the same.

alias Left = subgroup_matrix_left<f16, K, M>;
alias Right = subgroup_matrix_right<f16, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;

@group(0) @binding(0) var<storage, read_write> x: array<f16>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(SUBGROUPS * SUBGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let a = subgroupMatrixLoad<Left, row_major>(&x, 0u, K);
  let b = subgroupMatrixLoad<Left, row_major>(&x, M * K, K);
  let c = subgroupMatrixLoad<Right, row_major>(&x, 2u * M * K, N);
  let d = subgroupMatrixLoad<Right, row_major>(&x, 2u * M * K + K * N, N);
  var ac: Sum;
  var ad: Sum;
  var bc: Sum;
  var bd: Sum;
  for (var i = 0u; i < STEPS; i++) {
    ac = subgroupMatrixMultiplyAccumulate(a, c, ac);
    ad = subgroupMatrixMultiplyAccumulate(a, d, ad);
    bc = subgroupMatrixMultiplyAccumulate(b, c, bc);
    bd = subgroupMatrixMultiplyAccumulate(b, d, bd);
  }
  let at = (group.x * SUBGROUPS + thread / SUBGROUP_SIZE) * 4u * M * N;
  subgroupMatrixStore<row_major>(&y, at, ac, N);
  subgroupMatrixStore<row_major>(&y, at + M * N, ad, N);
  subgroupMatrixStore<row_major>(&y, at + 2u * M * N, bc, N);
  subgroupMatrixStore<row_major>(&y, at + 3u * M * N, bd, N);
}
