// matmul: y = x w on tensor cores: subgroup matrices of f16 with sums in f32.
//   x [M, K] f32, K a multiple of 4   w [K, 4 * columns4] f16 or integers   ->   y [M, N]
// 2 M K N FLOP. A subgroup keeps DOWN by ACROSS matrices of the result in registers, a workgroup has SUBGROUPS_M by SUBGROUPS_N
// subgroups. A step takes TILE_K of k: tiles of x and w are fetched while the tiles before are multiplied, become f16 on the way to
// workgroup memory, and lie there in rows that are 16 bytes longer than needed, so that eight rows touch all banks.
// Activations may be beyond 65504, where f16 ends, as some of T5's are: they lie divided by 16, which is exact for all that matter.
// What should be in registers has names: an array, even one that only constants index, may end up in memory.
// Weights: matmul_cells_f16.wgsl and its like. Bindings and the end: matmul_epilogue.wgsl.

const THREADS = SUBGROUPS_M * SUBGROUPS_N * SUBGROUP_SIZE;
const BAND = 8u;
const TILE_M = SUBGROUPS_M * DOWN * MATRIX_M;
const TILE_N = SUBGROUPS_N * ACROSS * MATRIX_N;
const A_ROW = TILE_K / 8u; // cells of eight halves
const B_ROW = TILE_N / 8u;
const A_STRIDE = A_ROW + 1u;
const B_STRIDE = B_ROW + 1u;
const A_SIZE = TILE_M * A_STRIDE;
const PAIR_SIZE = A_SIZE + TILE_K * B_STRIDE;
const A_CELLS = TILE_M * A_ROW;
const B_CELLS = TILE_K / CELL_DEPTH * B_ROW;
const A_TURNS = (A_CELLS + THREADS - 1u) / THREADS;
const B_TURNS = (B_CELLS + THREADS - 1u) / THREADS;
const BAND_QUADS = ACROSS * MATRIX_N / 4u;
const STAGE_STRIDE = BAND_QUADS + 1u;
const STAGE_SIZE = MATRIX_M * STAGE_STRIDE;
const RANGE = 16.0;

const_assert DOWN <= 4u && ACROSS <= 4u && A_TURNS <= 4u && B_TURNS <= 4u;
const_assert TILE_K % MATRIX_K == 0u && MATRIX_K % 8u == 0u && MATRIX_N % 8u == 0u;

alias Input = vec4<f32>;
alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Sum = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

// Cells on their way to workgroup memory.
struct Fetched {
  a0: Eight,
  a1: Eight,
  a2: Eight,
  a3: Eight,
  b0: Cell,
  b1: Cell,
  b2: Cell,
  b3: Cell,
}

struct Eight {
  left: vec4<f32>,
  right: vec4<f32>,
}

// Where a lane works.
struct Place {
  row: u32,
  column: u32,
  thread: u32,
}

// Pairs of tiles as halves, and in the end a band of the result for each subgroup.
var<workgroup> memory: array<vec4<u32>, max(BUFFERS * PAIR_SIZE, SUBGROUPS_M * SUBGROUPS_N * STAGE_SIZE)>;

fn input(at: u32, k: u32) -> vec4<f32> {
  if (k >= p.depth) {
    return vec4<f32>();
  }
  let value = x[(at + k) / 4u];
  if (INPUT_SILU) {
    return silu(value);
  }
  return value;
}

fn fetch_a(place: Place, turn: u32, first_k: u32) -> Eight {
  let cell = place.thread + turn * THREADS;
  let k = first_k + cell % A_ROW * 8u;
  let row_at = min(place.row + cell / A_ROW, p.rows - 1u) * p.depth;
  return Eight(input(row_at, k), input(row_at, k + 4u));
}

fn fetch_b(place: Place, turn: u32, first_k: u32) -> Cell {
  let cell = place.thread + turn * THREADS;
  return fetch_cell(first_k + cell / B_ROW * CELL_DEPTH, place.column + cell % B_ROW * 8u);
}

fn fetch(place: Place, first_k: u32) -> Fetched {
  var fetched = Fetched();
  fetched.a0 = fetch_a(place, 0u, first_k);
  if (A_TURNS > 1u) {
    fetched.a1 = fetch_a(place, 1u, first_k);
  }
  if (A_TURNS > 2u) {
    fetched.a2 = fetch_a(place, 2u, first_k);
  }
  if (A_TURNS > 3u) {
    fetched.a3 = fetch_a(place, 3u, first_k);
  }
  fetched.b0 = fetch_b(place, 0u, first_k);
  if (B_TURNS > 1u) {
    fetched.b1 = fetch_b(place, 1u, first_k);
  }
  if (B_TURNS > 2u) {
    fetched.b2 = fetch_b(place, 2u, first_k);
  }
  if (B_TURNS > 3u) {
    fetched.b3 = fetch_b(place, 3u, first_k);
  }
  return fetched;
}

fn keep_a(eight: Eight, turn: u32, at: u32, thread: u32) {
  let cell = thread + turn * THREADS;
  if (turn < A_TURNS && (A_CELLS % THREADS == 0u || cell < A_CELLS)) {
    let left = eight.left / RANGE;
    let right = eight.right / RANGE;
    memory[at + cell / A_ROW * A_STRIDE + cell % A_ROW] = vec4<u32>(
      pack2x16float(left.xy),
      pack2x16float(left.zw),
      pack2x16float(right.xy),
      pack2x16float(right.zw),
    );
  }
}

fn keep_b(cell: Cell, turn: u32, at: u32, thread: u32) {
  let index = thread + turn * THREADS;
  if (turn < B_TURNS && (B_CELLS % THREADS == 0u || index < B_CELLS)) {
    let row_at = at + index / B_ROW * CELL_DEPTH * B_STRIDE + index % B_ROW;
    memory[row_at] = cell_row(cell, 0u);
    if (CELL_DEPTH > 1u) {
      memory[row_at + B_STRIDE] = cell_row(cell, 1u);
      memory[row_at + 2u * B_STRIDE] = cell_row(cell, 2u);
      memory[row_at + 3u * B_STRIDE] = cell_row(cell, 3u);
    }
  }
}

fn keep(fetched: Fetched, at: u32, thread: u32) {
  keep_a(fetched.a0, 0u, at, thread);
  keep_a(fetched.a1, 1u, at, thread);
  keep_a(fetched.a2, 2u, at, thread);
  keep_a(fetched.a3, 3u, at, thread);
  keep_b(fetched.b0, 0u, at + A_SIZE, thread);
  keep_b(fetched.b1, 1u, at + A_SIZE, thread);
  keep_b(fetched.b2, 2u, at + A_SIZE, thread);
  keep_b(fetched.b3, 3u, at + A_SIZE, thread);
}

// A matrix of x; one beyond those that a subgroup has is the last again.
fn left_at(at: u32, row: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&memory, at + min(row, DOWN - 1u) * MATRIX_M * A_STRIDE, A_STRIDE);
}

fn right_at(at: u32, column: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&memory, at + column * MATRIX_N / 8u, B_STRIDE);
}

fn stage(sum: Sum, at: u32, column: u32) {
  if (column < ACROSS) {
    subgroupMatrixStore<row_major>(&memory, at + column * MATRIX_N / 4u, sum, STAGE_STRIDE);
  }
}

// Finishes a row of matrices of each subgroup, by way of workgroup memory.
fn finish_band(first_row: u32, column4: u32, at: u32, lane: u32, sum0: Sum, sum1: Sum, sum2: Sum, sum3: Sum) {
  workgroupBarrier();
  stage(sum0, at, 0u);
  stage(sum1, at, 1u);
  stage(sum2, at, 2u);
  stage(sum3, at, 3u);
  workgroupBarrier();
  // The number of rows is known late, which keeps this loop, whose body is long, from being unrolled.
  let rows = min(MATRIX_M, max(p.rows, first_row) - first_row);
  for (var quad = lane; quad < rows * BAND_QUADS; quad += SUBGROUP_SIZE) {
    let row = quad / BAND_QUADS;
    let column = quad % BAND_QUADS;
    finish(first_row + row, column4 + column, RANGE * bitcast<vec4<f32>>(memory[at + row * STAGE_STRIDE + column]));
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // Bands of 8 tiles of rows, and in a band column by column: workgroups that run at one time share rows and columns in the cache.
  let tile = group.x + group.y * groups.x;
  let tiles_down = (p.rows + TILE_M - 1u) / TILE_M;
  let band = tile / (p.column_groups * BAND);
  let within = tile % (p.column_groups * BAND);
  let height = max(1u, min(BAND, tiles_down - min(tiles_down, band * BAND)));
  let place = Place((band * BAND + within % height) * TILE_M, within / height * TILE_N, thread);
  let subgroup = thread / SUBGROUP_SIZE;
  let down = subgroup / SUBGROUPS_N * DOWN * MATRIX_M;
  let across = subgroup % SUBGROUPS_N * ACROSS * MATRIX_N;

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
  for (var step = 0u; ; step++) {
    let next = fetch(place, step * TILE_K);
    if (step > 0u) {
      let pair = (step - 1u) % BUFFERS * PAIR_SIZE;
      for (var k = 0u; k < TILE_K; k += MATRIX_K) {
        let at = pair + down * A_STRIDE + k / 8u;
        let left0 = left_at(at, 0u);
        let left1 = left_at(at, 1u);
        let left2 = left_at(at, 2u);
        let left3 = left_at(at, 3u);
        let row_at = pair + A_SIZE + across / 8u + k * B_STRIDE;
        let right0 = right_at(row_at, 0u);
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
          let right1 = right_at(row_at, 1u);
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
          let right2 = right_at(row_at, 2u);
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
          let right3 = right_at(row_at, 3u);
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
    keep(next, step % BUFFERS * PAIR_SIZE, thread);
    workgroupBarrier();
  }
  let lane = thread % SUBGROUP_SIZE;
  let row = place.row + down;
  let column4 = (place.column + across) / 4u;
  let at = subgroup * STAGE_SIZE;
  finish_band(row, column4, at, lane, sum00, sum01, sum02, sum03);
  if (DOWN > 1u) {
    finish_band(row + MATRIX_M, column4, at, lane, sum10, sum11, sum12, sum13);
  }
  if (DOWN > 2u) {
    finish_band(row + 2u * MATRIX_M, column4, at, lane, sum20, sum21, sum22, sum23);
  }
  if (DOWN > 3u) {
    finish_band(row + 3u * MATRIX_M, column4, at, lane, sum30, sum31, sum32, sum33);
  }
}
