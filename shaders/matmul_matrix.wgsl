// matmul: y = x w on tensor cores: subgroup matrices of f16 with sums in f32.
//   x [M, 8 * x_stride] halves, as pack_halves.wgsl makes them   w [K, 4 * columns4] f16 or integers   ->   y [M, N]
// 2 M K N FLOP. A subgroup keeps DOWN by ACROSS matrices of the result in registers, a workgroup has SUBGROUPS_M by SUBGROUPS_N
// subgroups. A step takes TILE_K of k: tiles of x and w are fetched while the tiles before are multiplied, and lie in workgroup
// memory in rows that are 16 bytes longer than needed, so that eight rows touch all banks. x has zeros behind its last k, up to a
// whole step; so w may have any numbers there.
// What should be in registers has names: an array, even one that only constants index, may end up in memory.
// Rows of x: matmul_rows.wgsl, or the windows of a convolution: conv2d_matrix.wgsl. Weights: matmul_cells_f16.wgsl and its like.
// Bindings and the end: matmul_epilogue.wgsl, or again conv2d_matrix.wgsl.

const THREADS = SUBGROUPS_M * SUBGROUPS_N * SUBGROUP_SIZE;
const TILE_M = SUBGROUPS_M * DOWN * MATRIX_M;
const TILE_N = SUBGROUPS_N * ACROSS * MATRIX_N;
const A_ROW = TILE_K / 8u; // cells of eight halves
const B_ROW = TILE_N / 8u;
const A_CELLS = TILE_M * A_ROW;
const B_CELLS = TILE_K / CELL_DEPTH * B_ROW;
const A_TURNS = (A_CELLS + THREADS - 1u) / THREADS;
const B_TURNS = (B_CELLS + THREADS - 1u) / THREADS;
const LAYERS = TILE_K / MATRIX_K;
const PAIR_ROWS = DOWN * MATRIX_M;
const PAIR_COLUMNS8 = ACROSS * MATRIX_N / 8u;
const A_STRIDE = MATRIX_K / 8u + 1u;
const B_STRIDE = PAIR_COLUMNS8 + 1u;
const STAGE_QUADS = 2u * MATRIX_N / 4u;
const STAGE_STRIDE = STAGE_QUADS + 1u;
const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_N;

const_assert DOWN <= 4u && (ACROSS == 2u || ACROSS == 4u) && A_TURNS <= 4u && B_TURNS <= 4u;
const_assert TILE_K % MATRIX_K == 0u && MATRIX_K % 8u == 0u && MATRIX_N % 8u == 0u;

alias Input = vec4<u32>;
alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Sum = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

// Cells on their way to workgroup memory.
struct Fetched {
  a0: vec4<u32>,
  a1: vec4<u32>,
  a2: vec4<u32>,
  a3: vec4<u32>,
  b0: Cell,
  b1: Cell,
  b2: Cell,
  b3: Cell,
}

// Where a lane finds its cells of x, and where its tile begins.
struct Place {
  a0: Origin,
  a1: Origin,
  a2: Origin,
  a3: Origin,
  row: u32,
  column: u32,
  thread: u32,
}

// Halves by buffer, subgroup and MATRIX_K steps of k. What the loads of a subgroup begin with is a place in the outer array and their
// offsets and strides are constants: else compilers that guard loads would make a choice of every stride, and drivers load bit by bit.
var<workgroup> a_tiles: array<array<vec4<u32>, max(PAIR_ROWS * A_STRIDE, MATRIX_M * STAGE_STRIDE)>, max(BUFFERS * SUBGROUPS_M * LAYERS, SUBGROUPS)>;
var<workgroup> b_tiles: array<array<vec4<u32>, MATRIX_K * B_STRIDE>, BUFFERS * SUBGROUPS_N * LAYERS>;

fn fetch_b(place: Place, turn: u32, first_k: u32) -> Cell {
  let cell = place.thread + turn * THREADS;
  return fetch_cell(min(first_k + cell / B_ROW * CELL_DEPTH, p.depth - CELL_DEPTH), place.column + cell % B_ROW * 8u);
}

fn fetch(place: Place, step: u32) -> Fetched {
  var fetched = Fetched();
  fetched.a0 = fetch_a(place.a0, step);
  if (A_TURNS > 1u) {
    fetched.a1 = fetch_a(place.a1, step);
  }
  if (A_TURNS > 2u) {
    fetched.a2 = fetch_a(place.a2, step);
  }
  if (A_TURNS > 3u) {
    fetched.a3 = fetch_a(place.a3, step);
  }
  fetched.b0 = fetch_b(place, 0u, step * TILE_K);
  if (B_TURNS > 1u) {
    fetched.b1 = fetch_b(place, 1u, step * TILE_K);
  }
  if (B_TURNS > 2u) {
    fetched.b2 = fetch_b(place, 2u, step * TILE_K);
  }
  if (B_TURNS > 3u) {
    fetched.b3 = fetch_b(place, 3u, step * TILE_K);
  }
  return fetched;
}

fn keep_a(eight: vec4<u32>, turn: u32, buffer: u32, thread: u32) {
  let cell = thread + turn * THREADS;
  if (turn < A_TURNS && (A_CELLS % THREADS == 0u || cell < A_CELLS)) {
    let row = cell / A_ROW;
    let k = cell % A_ROW * 8u;
    let outer = (buffer * SUBGROUPS_M + row / PAIR_ROWS) * LAYERS + k / MATRIX_K;
    a_tiles[outer][row % PAIR_ROWS * A_STRIDE + k % MATRIX_K / 8u] = eight;
  }
}

fn keep_b(cell: Cell, turn: u32, buffer: u32, thread: u32) {
  let index = thread + turn * THREADS;
  if (turn < B_TURNS && (B_CELLS % THREADS == 0u || index < B_CELLS)) {
    let k = index / B_ROW * CELL_DEPTH;
    let column = index % B_ROW;
    let outer = (buffer * SUBGROUPS_N + column / PAIR_COLUMNS8) * LAYERS + k / MATRIX_K;
    let at = k % MATRIX_K * B_STRIDE + column % PAIR_COLUMNS8;
    b_tiles[outer][at] = cell_row(cell, 0u);
    if (CELL_DEPTH > 1u) {
      b_tiles[outer][at + B_STRIDE] = cell_row(cell, 1u);
      b_tiles[outer][at + 2u * B_STRIDE] = cell_row(cell, 2u);
      b_tiles[outer][at + 3u * B_STRIDE] = cell_row(cell, 3u);
    }
  }
}

fn keep(fetched: Fetched, buffer: u32, thread: u32) {
  keep_a(fetched.a0, 0u, buffer, thread);
  keep_a(fetched.a1, 1u, buffer, thread);
  keep_a(fetched.a2, 2u, buffer, thread);
  keep_a(fetched.a3, 3u, buffer, thread);
  keep_b(fetched.b0, 0u, buffer, thread);
  keep_b(fetched.b1, 1u, buffer, thread);
  keep_b(fetched.b2, 2u, buffer, thread);
  keep_b(fetched.b3, 3u, buffer, thread);
}

// Finishes two neighbouring matrices of the result of each subgroup, by way of workgroup memory.
fn finish_two(first_row: u32, column4: u32, subgroup: u32, lane: u32, left: Sum, right: Sum) {
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&a_tiles[subgroup], 0u, left, STAGE_STRIDE);
  subgroupMatrixStore<row_major>(&a_tiles[subgroup], MATRIX_N / 4u, right, STAGE_STRIDE);
  workgroupBarrier();
  // The number of rows is known late, which keeps this loop, whose body is long, from being unrolled.
  let rows = min(MATRIX_M, max(p.rows, first_row) - first_row);
  for (var quad = lane; quad < rows * STAGE_QUADS; quad += SUBGROUP_SIZE) {
    let row = quad / STAGE_QUADS;
    let column = quad % STAGE_QUADS;
    finish(first_row + row, column4 + column, p.x_range * bitcast<vec4<f32>>(a_tiles[subgroup][row * STAGE_STRIDE + column]));
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile = tile_of(group, groups, TILE_M);
  let first_row = tile.x * TILE_M;
  let place = Place(
    origin_of(first_row, 0u, thread),
    origin_of(first_row, 1u, thread),
    origin_of(first_row, 2u, thread),
    origin_of(first_row, 3u, thread),
    first_row,
    tile.y * TILE_N,
    thread,
  );
  let subgroup = thread / SUBGROUP_SIZE;
  let down = subgroup / SUBGROUPS_N;
  let across = subgroup % SUBGROUPS_N;

  var sum00 = Sum();
  var sum01 = Sum();
  var sum02 = Sum();
  var sum03 = Sum();
  var sum10 = Sum();
  var sum11 = Sum();
  var sum12 = Sum();
  var sum13 = Sum();
  var sum20 = Sum();
  var sum21 = Sum();
  var sum22 = Sum();
  var sum23 = Sum();
  var sum30 = Sum();
  var sum31 = Sum();
  var sum32 = Sum();
  var sum33 = Sum();
  let steps = (p.depth + TILE_K - 1u) / TILE_K;
  for (var step = 0u; step <= steps; step++) {
    let next = fetch(place, min(step, steps - 1u));
    if (step > 0u) {
      let buffer = (step - 1u) % BUFFERS;
      for (var layer = 0u; layer < LAYERS; layer++) {
        let a = (buffer * SUBGROUPS_M + down) * LAYERS + layer;
        let left0 = subgroupMatrixLoad<Left, row_major>(&a_tiles[a], min(0u, DOWN - 1u) * MATRIX_M * A_STRIDE, A_STRIDE);
        let left1 = subgroupMatrixLoad<Left, row_major>(&a_tiles[a], min(1u, DOWN - 1u) * MATRIX_M * A_STRIDE, A_STRIDE);
        let left2 = subgroupMatrixLoad<Left, row_major>(&a_tiles[a], min(2u, DOWN - 1u) * MATRIX_M * A_STRIDE, A_STRIDE);
        let left3 = subgroupMatrixLoad<Left, row_major>(&a_tiles[a], min(3u, DOWN - 1u) * MATRIX_M * A_STRIDE, A_STRIDE);
        let b = (buffer * SUBGROUPS_N + across) * LAYERS + layer;
        let right0 = subgroupMatrixLoad<Right, row_major>(&b_tiles[b], min(0u, ACROSS - 1u) * MATRIX_N / 8u, B_STRIDE);
        sum00 = subgroupMatrixMultiplyAccumulate(left0, right0, sum00);
        if (DOWN > 1u) {
          sum10 = subgroupMatrixMultiplyAccumulate(left1, right0, sum10);
        }
        if (DOWN > 2u) {
          sum20 = subgroupMatrixMultiplyAccumulate(left2, right0, sum20);
        }
        if (DOWN > 3u) {
          sum30 = subgroupMatrixMultiplyAccumulate(left3, right0, sum30);
        }
        if (ACROSS > 1u) {
          let right1 = subgroupMatrixLoad<Right, row_major>(&b_tiles[b], min(1u, ACROSS - 1u) * MATRIX_N / 8u, B_STRIDE);
          sum01 = subgroupMatrixMultiplyAccumulate(left0, right1, sum01);
          if (DOWN > 1u) {
            sum11 = subgroupMatrixMultiplyAccumulate(left1, right1, sum11);
          }
          if (DOWN > 2u) {
            sum21 = subgroupMatrixMultiplyAccumulate(left2, right1, sum21);
          }
          if (DOWN > 3u) {
            sum31 = subgroupMatrixMultiplyAccumulate(left3, right1, sum31);
          }
        }
        if (ACROSS > 2u) {
          let right2 = subgroupMatrixLoad<Right, row_major>(&b_tiles[b], min(2u, ACROSS - 1u) * MATRIX_N / 8u, B_STRIDE);
          sum02 = subgroupMatrixMultiplyAccumulate(left0, right2, sum02);
          if (DOWN > 1u) {
            sum12 = subgroupMatrixMultiplyAccumulate(left1, right2, sum12);
          }
          if (DOWN > 2u) {
            sum22 = subgroupMatrixMultiplyAccumulate(left2, right2, sum22);
          }
          if (DOWN > 3u) {
            sum32 = subgroupMatrixMultiplyAccumulate(left3, right2, sum32);
          }
        }
        if (ACROSS > 3u) {
          let right3 = subgroupMatrixLoad<Right, row_major>(&b_tiles[b], min(3u, ACROSS - 1u) * MATRIX_N / 8u, B_STRIDE);
          sum03 = subgroupMatrixMultiplyAccumulate(left0, right3, sum03);
          if (DOWN > 1u) {
            sum13 = subgroupMatrixMultiplyAccumulate(left1, right3, sum13);
          }
          if (DOWN > 2u) {
            sum23 = subgroupMatrixMultiplyAccumulate(left2, right3, sum23);
          }
          if (DOWN > 3u) {
            sum33 = subgroupMatrixMultiplyAccumulate(left3, right3, sum33);
          }
        }
      }
    }
    if (step == steps) {
      break;
    }
    if (BUFFERS == 1u) {
      workgroupBarrier();
    }
    keep(next, step % BUFFERS, thread);
    workgroupBarrier();
  }
  let lane = thread % SUBGROUP_SIZE;
  let row = place.row + down * PAIR_ROWS;
  let column4 = place.column / 4u + across * PAIR_COLUMNS8 * 2u;
  finish_two(row, column4, subgroup, lane, sum00, sum01);
  if (ACROSS > 2u) {
    finish_two(row, column4 + STAGE_QUADS, subgroup, lane, sum02, sum03);
  }
  if (DOWN > 1u) {
    finish_two(row + MATRIX_M, column4, subgroup, lane, sum10, sum11);
    if (ACROSS > 2u) {
      finish_two(row + MATRIX_M, column4 + STAGE_QUADS, subgroup, lane, sum12, sum13);
    }
  }
  if (DOWN > 2u) {
    finish_two(row + 2u * MATRIX_M, column4, subgroup, lane, sum20, sum21);
    if (ACROSS > 2u) {
      finish_two(row + 2u * MATRIX_M, column4 + STAGE_QUADS, subgroup, lane, sum22, sum23);
    }
  }
  if (DOWN > 3u) {
    finish_two(row + 3u * MATRIX_M, column4, subgroup, lane, sum30, sum31);
    if (ACROSS > 2u) {
      finish_two(row + 3u * MATRIX_M, column4 + STAGE_QUADS, subgroup, lane, sum32, sum33);
    }
  }
}
