// wide_rows: sums of 8 rows by 4 columns go on by 4 steps, on a subgroup of 8 lanes. Appended to the kernels for CPUs that pose as GPUs.
// Each says what `Rows` is: an array of vec4<f32>, as many as rows that a subgroup has. A row is 4 columns of a lane's own.

alias Steps = array<vec4<f32>, 4>; // 4 steps of what is summed over, by 4 columns

fn advance_row(sum: vec4<f32>, a: vec4<f32>, b: Steps) -> vec4<f32> {
  return fma(a.wwww, b[3], fma(a.zzzz, b[2], fma(a.yyyy, b[1], fma(a.xxxx, b[0], sum))));
}

// Adds 4 steps to the rows from `first` on; what belongs to row `first` + r of the other factor is with lane r.
fn advance_rows(rows: ptr<function, Rows>, first: u32, a: vec4<f32>, b: Steps) {
  (*rows)[first + 0u] = advance_row((*rows)[first + 0u], subgroupBroadcast(a, 0u), b);
  (*rows)[first + 1u] = advance_row((*rows)[first + 1u], subgroupBroadcast(a, 1u), b);
  (*rows)[first + 2u] = advance_row((*rows)[first + 2u], subgroupBroadcast(a, 2u), b);
  (*rows)[first + 3u] = advance_row((*rows)[first + 3u], subgroupBroadcast(a, 3u), b);
  (*rows)[first + 4u] = advance_row((*rows)[first + 4u], subgroupBroadcast(a, 4u), b);
  (*rows)[first + 5u] = advance_row((*rows)[first + 5u], subgroupBroadcast(a, 5u), b);
  (*rows)[first + 6u] = advance_row((*rows)[first + 6u], subgroupBroadcast(a, 6u), b);
  (*rows)[first + 7u] = advance_row((*rows)[first + 7u], subgroupBroadcast(a, 7u), b);
}
