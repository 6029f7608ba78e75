// matmul: y = x w, for GPUs without tensor cores: tiles of x and w in workgroup memory, a register tile for each lane.
//   x [M, K] f32, K a multiple of 4   w [K, 4 * columns4]   ->   y [M, N]
// 2 M K N FLOP. A lane owns 8 rows by 2 quads of columns, a workgroup of GROUP_X by GROUP_Y lanes 8 * GROUP_Y by 8 * GROUP_X. For 4
// steps of k it reads 16 vectors from workgroup memory and does 256 multiply-adds. The next tiles are fetched while these are
// multiplied. Products are in Number4, which may be of halves: then sums over TILE_K are, too, and the sum of those is in f32; and as
// activations may be beyond 65504, where halves end, they are divided by 16 meanwhile.
// Compilers that guard loops and indices do not unroll them, and keep what a loop walks through in memory: so what should be in
// registers has names. Bindings and the end: matmul_epilogue.wgsl.

const THREADS = GROUP_X * GROUP_Y;
const TILE_M = 8u * GROUP_Y;
const TILE_N = 8u * GROUP_X;
const QUADS = TILE_K / 4u;
const A_CELLS = TILE_M * QUADS; // of 4 k
const B_CELLS = QUADS * 2u * GROUP_X; // of 4 k by 4 columns
const A_TURNS = (A_CELLS + THREADS - 1u) / THREADS;
const B_TURNS = (B_CELLS + THREADS - 1u) / THREADS;

const_assert TILE_K % 4u == 0u && A_TURNS <= 4u && B_TURNS <= 2u;

const RANGE = select(1.0, 16.0, HALVES);

alias Input = vec4<f32>;

// 4 steps of k of a quad of columns.
struct Weights {
  k0: Number4,
  k1: Number4,
  k2: Number4,
  k3: Number4,
}

// What a lane has of a row.
struct Part {
  left: Number4,
  right: Number4,
}

struct Sum {
  left: vec4<f32>,
  right: vec4<f32>,
}

// Cells on their way to workgroup memory.
struct Fetched {
  a0: Number4,
  a1: Number4,
  a2: Number4,
  a3: Number4,
  b0: Weights,
  b1: Weights,
}

// Where a lane works.
struct Place {
  row: u32,
  column4: u32,
  thread: u32,
}

// 8 rows lie together, and one more between them and the next keeps writers off each other's banks.
var<workgroup> a_tile: array<array<array<Number4, 9>, QUADS>, GROUP_Y>;
// A row has the left quads of all lanes, the next the right ones.
var<workgroup> b_tile: array<array<array<Number4, GROUP_X>, 8>, QUADS>;

fn input(place: Place, turn: u32, first_quad: u32) -> Number4 {
  let cell = place.thread + turn * THREADS;
  let quad = first_quad + cell % QUADS;
  if (quad * 4u >= p.depth) {
    return Number4();
  }
  let value = x[min(place.row + cell / QUADS, p.rows - 1u) * (p.depth / 4u) + quad];
  if (INPUT_SILU) {
    return Number4(silu(value) / RANGE);
  }
  return Number4(value / RANGE);
}

fn weights(place: Place, turn: u32, first_quad: u32) -> Weights {
  let cell = place.thread + turn * THREADS;
  let quad = first_quad + cell / (2u * GROUP_X);
  if (quad * 4u >= p.depth || cell >= B_CELLS) {
    return Weights();
  }
  let at = min(place.column4 + cell % (2u * GROUP_X), p.columns4 - 1u);
  let block = load_block(quad / p.block_quads, at);
  let four = load_quad(quad, at);
  return Weights(
    Number4(quad_weight(block, four, 0u)),
    Number4(quad_weight(block, four, 1u)),
    Number4(quad_weight(block, four, 2u)),
    Number4(quad_weight(block, four, 3u)),
  );
}

fn fetch(place: Place, first_quad: u32) -> Fetched {
  var fetched = Fetched();
  fetched.a0 = input(place, 0u, first_quad);
  if (A_TURNS > 1u) {
    fetched.a1 = input(place, 1u, first_quad);
  }
  if (A_TURNS > 2u) {
    fetched.a2 = input(place, 2u, first_quad);
  }
  if (A_TURNS > 3u) {
    fetched.a3 = input(place, 3u, first_quad);
  }
  fetched.b0 = weights(place, 0u, first_quad);
  if (B_TURNS > 1u) {
    fetched.b1 = weights(place, 1u, first_quad);
  }
  return fetched;
}

fn keep_a(four: Number4, turn: u32, thread: u32) {
  let cell = thread + turn * THREADS;
  if (A_CELLS % THREADS == 0u || cell < A_CELLS) {
    let row = cell / QUADS;
    a_tile[row / 8u][cell % QUADS][row % 8u] = four;
  }
}

fn keep_b(four: Weights, turn: u32, thread: u32) {
  let cell = thread + turn * THREADS;
  if (B_CELLS % THREADS == 0u || cell < B_CELLS) {
    let quad = cell / (2u * GROUP_X);
    let side = cell / GROUP_X % 2u;
    let lane = cell % GROUP_X;
    b_tile[quad][side][lane] = four.k0;
    b_tile[quad][2u + side][lane] = four.k1;
    b_tile[quad][4u + side][lane] = four.k2;
    b_tile[quad][6u + side][lane] = four.k3;
  }
}

fn keep(fetched: Fetched, thread: u32) {
  keep_a(fetched.a0, 0u, thread);
  if (A_TURNS > 1u) {
    keep_a(fetched.a1, 1u, thread);
  }
  if (A_TURNS > 2u) {
    keep_a(fetched.a2, 2u, thread);
  }
  if (A_TURNS > 3u) {
    keep_a(fetched.a3, 3u, thread);
  }
  keep_b(fetched.b0, 0u, thread);
  if (B_TURNS > 1u) {
    keep_b(fetched.b1, 1u, thread);
  }
}

fn advance(part: Part, a: Number4, left: Weights, right: Weights) -> Part {
  return Part(
    fma(a.wwww, left.k3, fma(a.zzzz, left.k2, fma(a.yyyy, left.k1, fma(a.xxxx, left.k0, part.left)))),
    fma(a.wwww, right.k3, fma(a.zzzz, right.k2, fma(a.yyyy, right.k1, fma(a.xxxx, right.k0, part.right)))),
  );
}

fn plus(sum: Sum, part: Part) -> Sum {
  return Sum(sum.left + vec4<f32>(part.left), sum.right + vec4<f32>(part.right));
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile = tile_of(group, groups, TILE_M);
  let place = Place(tile.x * TILE_M, tile.y * 2u * GROUP_X, thread);

  var part0 = Part();
  var part1 = Part();
  var part2 = Part();
  var part3 = Part();
  var part4 = Part();
  var part5 = Part();
  var part6 = Part();
  var part7 = Part();
  var sum0 = Sum();
  var sum1 = Sum();
  var sum2 = Sum();
  var sum3 = Sum();
  var sum4 = Sum();
  var sum5 = Sum();
  var sum6 = Sum();
  var sum7 = Sum();
  let steps = (p.depth + TILE_K - 1u) / TILE_K;
  for (var step = 0u; ; step++) {
    let next = fetch(place, step * QUADS);
    if (step > 0u) {
      for (var quad = 0u; quad < QUADS; quad++) {
        let lane = local.x;
        let left = Weights(b_tile[quad][0][lane], b_tile[quad][2][lane], b_tile[quad][4][lane], b_tile[quad][6][lane]);
        let right = Weights(b_tile[quad][1][lane], b_tile[quad][3][lane], b_tile[quad][5][lane], b_tile[quad][7][lane]);
        part0 = advance(part0, a_tile[local.y][quad][0], left, right);
        part1 = advance(part1, a_tile[local.y][quad][1], left, right);
        part2 = advance(part2, a_tile[local.y][quad][2], left, right);
        part3 = advance(part3, a_tile[local.y][quad][3], left, right);
        part4 = advance(part4, a_tile[local.y][quad][4], left, right);
        part5 = advance(part5, a_tile[local.y][quad][5], left, right);
        part6 = advance(part6, a_tile[local.y][quad][6], left, right);
        part7 = advance(part7, a_tile[local.y][quad][7], left, right);
      }
    }
    if (HALVES || step == steps) {
      sum0 = plus(sum0, part0);
      sum1 = plus(sum1, part1);
      sum2 = plus(sum2, part2);
      sum3 = plus(sum3, part3);
      sum4 = plus(sum4, part4);
      sum5 = plus(sum5, part5);
      sum6 = plus(sum6, part6);
      sum7 = plus(sum7, part7);
      part0 = Part();
      part1 = Part();
      part2 = Part();
      part3 = Part();
      part4 = Part();
      part5 = Part();
      part6 = Part();
      part7 = Part();
    }
    if (step == steps) {
      break;
    }
    workgroupBarrier();
    keep(next, thread);
    workgroupBarrier();
  }
  // The number of rows is known late, which keeps this loop, whose body is long, from being unrolled.
  let first_row = place.row + local.y * 8u;
  let rows = min(8u, max(p.rows, first_row) - first_row);
  for (var r = 0u; r < rows; r++) {
    var sum = sum0;
    switch r {
      case 1u: {
        sum = sum1;
      }
      case 2u: {
        sum = sum2;
      }
      case 3u: {
        sum = sum3;
      }
      case 4u: {
        sum = sum4;
      }
      case 5u: {
        sum = sum5;
      }
      case 6u: {
        sum = sum6;
      }
      case 7u: {
        sum = sum7;
      }
      default: {
      }
    }
    finish(first_row + r, place.column4 + local.x, RANGE * sum.left);
    finish(first_row + r, place.column4 + GROUP_X + local.x, RANGE * sum.right);
  }
}
