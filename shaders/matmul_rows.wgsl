// How matmul_matrix.wgsl fetches rows of halves that lie one behind the other.
//   x [rows, 8 * x_stride] halves

// Where a lane finds a cell of the first step.
alias Origin = u32;

fn origin_of(first_row: u32, turn: u32, thread: u32) -> Origin {
  let cell = thread + turn * THREADS;
  return min(first_row + cell / A_ROW, p.rows - 1u) * p.x_stride + cell % A_ROW;
}

// Eight halves of a row.
fn fetch_a(origin: Origin, step: u32) -> vec4<u32> {
  return x[origin + step * A_ROW];
}
