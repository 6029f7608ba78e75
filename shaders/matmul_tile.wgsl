// matmul: y = x w, for GPUs without tensor cores: tiles of x and w in workgroup memory, a register tile for each lane.
//   x [M, K] f32, K a multiple of 4   w [K, 4 * columns4]   ->   y [M, N]
// 2 M K N FLOP. A workgroup of GROUP_X by GROUP_Y lanes owns TILE_M rows by TILE_N columns, a lane ROWS by 4 * COLUMNS4 of them. For
// 4 steps of k it reads ROWS + 4 * COLUMNS4 vectors from workgroup memory and does 16 * ROWS * COLUMNS4 multiply-adds. Tiles are
// fetched while those before are multiplied. Products and short sums are in Number4, which may be of halves; a tile's worth of k is
// summed in it, and tiles in f32.
// Bindings and the end: matmul_epilogue.wgsl.

const_assert TILE_M % GROUP_Y == 0u && TILE_N % (4u * GROUP_X) == 0u && TILE_K % 4u == 0u;

const BAND = 8u;
const THREADS = GROUP_X * GROUP_Y;
const ROWS = TILE_M / GROUP_Y;
const COLUMNS4 = TILE_N / 4u / GROUP_X;
const QUADS = TILE_K / 4u;
const A_STRIDE = QUADS + 1u;
const B_STRIDE = TILE_N / 4u;
const A_CELLS = TILE_M * QUADS;
const B_CELLS = QUADS * B_STRIDE;
const A_TURNS = (A_CELLS + THREADS - 1u) / THREADS;
const B_TURNS = (B_CELLS + THREADS - 1u) / THREADS;

alias Input = vec4<f32>;
alias Weights = array<Number4, 4>; // 4 steps of k by 4 columns

var<workgroup> a_tile: array<Number4, TILE_M * A_STRIDE>;
var<workgroup> b_tile: array<Number4, TILE_K * B_STRIDE>;

fn input(row: u32, quad: u32) -> vec4<f32> {
  if (quad * 4u >= p.depth) {
    return vec4<f32>();
  }
  let value = x[min(row, p.rows - 1u) * (p.depth / 4u) + quad];
  if (INPUT_SILU) {
    return silu(value);
  }
  return value;
}

fn weights(quad: u32, column4: u32) -> Weights {
  if (quad * 4u >= p.depth) {
    return Weights();
  }
  let at = min(column4, p.columns4 - 1u);
  let block = load_block(quad / p.block_quads, at);
  let four = load_quad(quad, at);
  return Weights(
    Number4(quad_weight(block, four, 0u)),
    Number4(quad_weight(block, four, 1u)),
    Number4(quad_weight(block, four, 2u)),
    Number4(quad_weight(block, four, 3u)),
  );
}

struct Fetched {
  a: array<Number4, A_TURNS>,
  b: array<Weights, B_TURNS>,
}

fn fetch(first_row: u32, first_column4: u32, first_quad: u32, thread: u32) -> Fetched {
  var fetched: Fetched;
  for (var i = 0u; i < A_TURNS; i++) {
    let cell = thread + i * THREADS;
    fetched.a[i] = Number4(input(first_row + cell / QUADS, first_quad + cell % QUADS));
  }
  for (var i = 0u; i < B_TURNS; i++) {
    let cell = thread + i * THREADS;
    if (B_CELLS % THREADS == 0u || cell < B_CELLS) {
      fetched.b[i] = weights(first_quad + cell / B_STRIDE, first_column4 + cell % B_STRIDE);
    }
  }
  return fetched;
}

fn keep(fetched: Fetched, thread: u32) {
  for (var i = 0u; i < A_TURNS; i++) {
    let cell = thread + i * THREADS;
    if (A_CELLS % THREADS == 0u || cell < A_CELLS) {
      a_tile[cell / QUADS * A_STRIDE + cell % QUADS] = fetched.a[i];
    }
  }
  for (var i = 0u; i < B_TURNS; i++) {
    let cell = thread + i * THREADS;
    if (B_CELLS % THREADS == 0u || cell < B_CELLS) {
      let at = cell / B_STRIDE * 4u * B_STRIDE + cell % B_STRIDE;
      b_tile[at] = fetched.b[i][0];
      b_tile[at + B_STRIDE] = fetched.b[i][1];
      b_tile[at + 2u * B_STRIDE] = fetched.b[i][2];
      b_tile[at + 3u * B_STRIDE] = fetched.b[i][3];
    }
  }
}

alias Partial = array<array<Number4, COLUMNS4>, ROWS>;

// Adds the products of the tiles to a lane's part of the result.
fn multiply_tiles(partial: ptr<function, Partial>, place: vec2<u32>) {
  for (var quad = 0u; quad < QUADS; quad++) {
    var b: array<Weights, COLUMNS4>;
    for (var c = 0u; c < COLUMNS4; c++) {
      let at = quad * 4u * B_STRIDE + c * GROUP_X + place.x;
      b[c] = Weights(b_tile[at], b_tile[at + B_STRIDE], b_tile[at + 2u * B_STRIDE], b_tile[at + 3u * B_STRIDE]);
    }
    for (var r = 0u; r < ROWS; r++) {
      let a = a_tile[(place.y * ROWS + r) * A_STRIDE + quad];
      for (var c = 0u; c < COLUMNS4; c++) {
        (*partial)[r][c] = fma(a.wwww, b[c][3], fma(a.zzzz, b[c][2], fma(a.yyyy, b[c][1], fma(a.xxxx, b[c][0], (*partial)[r][c]))));
      }
    }
  }
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // Bands of 8 tiles of rows, and in a band column by column: workgroups that run at one time share rows and columns in the cache.
  let tile = group.x + group.y * groups.x;
  let tiles_down = (p.rows + TILE_M - 1u) / TILE_M;
  let band = tile / (p.column_groups * BAND);
  let within = tile % (p.column_groups * BAND);
  let height = max(1u, min(BAND, tiles_down - min(tiles_down, band * BAND)));
  let first_row = (band * BAND + within % height) * TILE_M;
  let first_column4 = within / height * B_STRIDE;

  var sums: array<array<vec4<f32>, COLUMNS4>, ROWS>;
  var partial: Partial;
  let steps = (p.depth + TILE_K - 1u) / TILE_K;
  for (var step = 0u; ; step++) {
    let next = fetch(first_row, first_column4, step * QUADS, thread);
    if (step > 0u) {
      multiply_tiles(&partial, local.xy);
      if (SHORT_SUMS) {
        for (var r = 0u; r < ROWS; r++) {
          for (var c = 0u; c < COLUMNS4; c++) {
            sums[r][c] += vec4<f32>(partial[r][c]);
            partial[r][c] = Number4();
          }
        }
      }
    }
    if (step == steps) {
      break;
    }
    workgroupBarrier();
    keep(next, thread);
    workgroupBarrier();
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < COLUMNS4; c++) {
      finish(
        first_row + local.y * ROWS + r,
        first_column4 + c * GROUP_X + local.x,
        sums[r][c] + vec4<f32>(partial[r][c]),
      );
    }
  }
}
