// matmul: y = x w on tensor cores: subgroup matrices of f16 with sums in f32.
//   x [M, K] f32, K a multiple of 4   w [K, 4 * columns4] f16 or integers   ->   y [M, N]
// 2 M K N FLOP. A workgroup owns TILE_M rows by TILE_N columns; SUBGROUPS_M by SUBGROUPS_N subgroups share them out and keep their part
// in registers. A step takes TILE_K of k: tiles of x and w are fetched while the tiles before are multiplied, become f16 on the way
// to workgroup memory, and lie there in rows that are 16 bytes longer than needed, so that eight rows touch all banks.
// Activations may be beyond 65504, where f16 ends, as some of T5's are: they lie divided by 16, which is exact for all that matter.
// Weights: matmul_cells_f16.wgsl and its like. Bindings and the end: matmul_epilogue.wgsl.

const_assert TILE_M % (SUBGROUPS_M * MATRIX_M) == 0u && TILE_N % (SUBGROUPS_N * MATRIX_N) == 0u;
const_assert TILE_K % MATRIX_K == 0u && TILE_K % 8u == 0u && TILE_N % 8u == 0u && MATRIX_K % 8u == 0u && MATRIX_N % 8u == 0u;

const THREADS = SUBGROUPS_M * SUBGROUPS_N * SUBGROUP_SIZE;
const BAND = 8u;
const DOWN = TILE_M / SUBGROUPS_M / MATRIX_M;
const ACROSS = TILE_N / SUBGROUPS_N / MATRIX_N;
const A_STRIDE = TILE_K / 8u + 1u;
const B_STRIDE = TILE_N / 8u + 1u;
const A_SIZE = TILE_M * A_STRIDE;
const PAIR_SIZE = A_SIZE + TILE_K * B_STRIDE;
const A_CELLS = TILE_M * TILE_K / 8u;
const B_CELLS = TILE_K * TILE_N / (CELL_DEPTH * 8u);
const A_TURNS = (A_CELLS + THREADS - 1u) / THREADS;
const B_TURNS = (B_CELLS + THREADS - 1u) / THREADS;
const ROW_QUADS = ACROSS * MATRIX_N / 4u;
const STAGE_STRIDE = ROW_QUADS + 1u;
const STAGE_SIZE = MATRIX_M * STAGE_STRIDE;
const RANGE = 16.0;

alias Input = vec4<f32>;
alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Sum = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

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

struct Fetched {
  a: array<array<vec4<f32>, 2>, A_TURNS>,
  b: array<Cell, B_TURNS>,
}

fn fetch(first_row: u32, first_column: u32, first_k: u32, thread: u32) -> Fetched {
  var fetched: Fetched;
  for (var i = 0u; i < A_TURNS; i++) {
    let cell = thread + i * THREADS;
    let k = first_k + cell % (TILE_K / 8u) * 8u;
    let row_at = min(first_row + cell / (TILE_K / 8u), p.rows - 1u) * p.depth;
    fetched.a[i][0] = input(row_at, k);
    fetched.a[i][1] = input(row_at, k + 4u);
  }
  for (var i = 0u; i < B_TURNS; i++) {
    let cell = thread + i * THREADS;
    fetched.b[i] = fetch_cell(
      first_k + cell / (TILE_N / 8u) * CELL_DEPTH,
      first_column + cell % (TILE_N / 8u) * 8u,
    );
  }
  return fetched;
}

fn keep(fetched: Fetched, buffer: u32, thread: u32) {
  for (var i = 0u; i < A_TURNS; i++) {
    let cell = thread + i * THREADS;
    if (A_CELLS % THREADS == 0u || cell < A_CELLS) {
      let v = array<vec4<f32>, 2>(fetched.a[i][0] / RANGE, fetched.a[i][1] / RANGE);
      memory[buffer * PAIR_SIZE + cell / (TILE_K / 8u) * A_STRIDE + cell % (TILE_K / 8u)] = vec4<u32>(
        pack2x16float(v[0].xy),
        pack2x16float(v[0].zw),
        pack2x16float(v[1].xy),
        pack2x16float(v[1].zw),
      );
    }
  }
  for (var i = 0u; i < B_TURNS; i++) {
    let cell = thread + i * THREADS;
    if (B_CELLS % THREADS == 0u || cell < B_CELLS) {
      let at = buffer * PAIR_SIZE + A_SIZE + cell / (TILE_N / 8u) * CELL_DEPTH * B_STRIDE + cell % (TILE_N / 8u);
      for (var d = 0u; d < CELL_DEPTH; d++) {
        memory[at + d * B_STRIDE] = cell_row(fetched.b[i], d);
      }
    }
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
  let first_row = (band * BAND + within % height) * TILE_M;
  let first_column = within / height * TILE_N;
  let subgroup = thread / SUBGROUP_SIZE;
  let lane = thread % SUBGROUP_SIZE;
  let down = subgroup / SUBGROUPS_N * DOWN * MATRIX_M;
  let across = subgroup % SUBGROUPS_N * ACROSS * MATRIX_N;

  var sums: array<array<Sum, ACROSS>, DOWN>;
  let steps = (p.depth + TILE_K - 1u) / TILE_K;
  for (var step = 0u; ; step++) {
    let next = fetch(first_row, first_column, step * TILE_K, thread);
    if (step > 0u) {
      let buffer = (step - 1u) % BUFFERS;
      for (var k = 0u; k < TILE_K; k += MATRIX_K) {
        var left: array<Left, DOWN>;
        for (var i = 0u; i < DOWN; i++) {
          left[i] = subgroupMatrixLoad<Left, row_major>(
            &memory,
            buffer * PAIR_SIZE + (down + i * MATRIX_M) * A_STRIDE + k / 8u,
            A_STRIDE,
          );
        }
        for (var j = 0u; j < ACROSS; j++) {
          let right = subgroupMatrixLoad<Right, row_major>(
            &memory,
            buffer * PAIR_SIZE + A_SIZE + k * B_STRIDE + (across + j * MATRIX_N) / 8u,
            B_STRIDE,
          );
          for (var i = 0u; i < DOWN; i++) {
            sums[i][j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i][j]);
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
  for (var i = 0u; i < DOWN; i++) {
    workgroupBarrier();
    for (var j = 0u; j < ACROSS; j++) {
      subgroupMatrixStore<row_major>(
        &memory,
        subgroup * STAGE_SIZE + j * MATRIX_N / 4u,
        sums[i][j],
        STAGE_STRIDE,
      );
    }
    workgroupBarrier();
    // The number of rows is known late, which keeps this loop, whose body is long, from being unrolled.
    let top = first_row + down + i * MATRIX_M;
    let rows = min(MATRIX_M, max(p.rows, top) - top);
    for (var quad = lane; quad < rows * ROW_QUADS; quad += SUBGROUP_SIZE) {
      let row = quad / ROW_QUADS;
      let column4 = quad % ROW_QUADS;
      finish(
        top + row,
        (first_column + across) / 4u + column4,
        RANGE * bitcast<vec4<f32>>(memory[subgroup * STAGE_SIZE + row * STAGE_STRIDE + column4]),
      );
    }
  }
}
