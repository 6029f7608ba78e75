// matmul: y = x w, for wide CPUs that pose as GPUs: a subgroup of 8 lanes owns 8 TILES rows by 32 columns.
//   x [M, K], K a multiple of 4   w [K, 4 * columns4]   ->   y [M, N]
// 2 M K N FLOP. There a load costs many times a multiply-add, a vec4 hardly more than a number, and neighbours that read one
// address pay each: so each lane loads a quad of x for one of 8 rows, and the others get it by broadcast. A step takes 4 of k and
// no more, for the code of a load is long and the loop should stay in the instruction cache (32 KiB).
// Bindings and the end: matmul_epilogue.wgsl.

const_assert TILES == 1u || TILES == 4u;

alias Input = vec4<f32>;
alias Tile = array<vec4<f32>, 8>; // 8 rows by 4 columns
alias Weights = array<vec4<f32>, 4>; // 4 steps of k by 4 columns

fn advance_row(sum: vec4<f32>, a: vec4<f32>, b: Weights) -> vec4<f32> {
  return fma(a.wwww, b[3], fma(a.zzzz, b[2], fma(a.yyyy, b[1], fma(a.xxxx, b[0], sum))));
}

// Adds 4 steps of k to 8 rows; the quad of x of row r is with lane r.
fn advance(tile: ptr<function, Tile>, a: vec4<f32>, b: Weights) {
  (*tile)[0] = advance_row((*tile)[0], subgroupBroadcast(a, 0u), b);
  (*tile)[1] = advance_row((*tile)[1], subgroupBroadcast(a, 1u), b);
  (*tile)[2] = advance_row((*tile)[2], subgroupBroadcast(a, 2u), b);
  (*tile)[3] = advance_row((*tile)[3], subgroupBroadcast(a, 3u), b);
  (*tile)[4] = advance_row((*tile)[4], subgroupBroadcast(a, 4u), b);
  (*tile)[5] = advance_row((*tile)[5], subgroupBroadcast(a, 5u), b);
  (*tile)[6] = advance_row((*tile)[6], subgroupBroadcast(a, 6u), b);
  (*tile)[7] = advance_row((*tile)[7], subgroupBroadcast(a, 7u), b);
}

fn input(row: u32, quad: u32) -> vec4<f32> {
  let value = x[min(row, p.rows - 1u) * (p.depth / 4u) + quad];
  if (INPUT_SILU) {
    return silu(value);
  }
  return value;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.x + group.y * groups.x;
  let first_row = tile / p.column_groups * TILES * 8u;
  let column4 = tile % p.column_groups * 8u + lane;
  let row = first_row + lane;
  var t0 = Tile();
  var t1 = Tile();
  var t2 = Tile();
  var t3 = Tile();
  var w_at = min(column4, p.columns4 - 1u);
  for (var quad = 0u; quad < p.depth / 4u; quad++) {
    let b = Weights(
      weight4(w[w_at]),
      weight4(w[w_at + p.columns4]),
      weight4(w[w_at + 2u * p.columns4]),
      weight4(w[w_at + 3u * p.columns4]),
    );
    w_at += 4u * p.columns4;
    advance(&t0, input(row, quad), b);
    if (TILES > 1u) {
      advance(&t1, input(row + 8u, quad), b);
      advance(&t2, input(row + 16u, quad), b);
      advance(&t3, input(row + 24u, quad), b);
    }
  }
  var sums: array<vec4<f32>, 8u * TILES>;
  for (var i = 0u; i < 8u; i++) {
    sums[i] = t0[i];
    if (TILES > 1u) {
      sums[8u % (8u * TILES) + i] = t1[i];
      sums[16u % (8u * TILES) + i] = t2[i];
      sums[24u % (8u * TILES) + i] = t3[i];
    }
  }
  // A loop that is not unrolled, because its end is not known: the end of a sum is long, and would be compiled once a row.
  let count = min(TILES * 8u, p.rows - first_row);
  for (var i = 0u; i < count; i++) {
    finish(first_row + i, column4, sums[i]);
  }
}
