// matmul: y = x w, for wide CPUs that pose as GPUs: a subgroup of 8 lanes owns 8 TILES rows by 32 columns.
//   x [M, K], K a multiple of 4   w [K, 4 * columns4]   ->   y [M, N]
// 2 M K N FLOP. There a load costs many times a multiply-add, a vec4 hardly more than a number, and neighbours that read one
// address pay each: so each lane loads a quad of x for one of 8 rows, and the others get it by broadcast. A step takes 4 of k and
// no more, for the code of a load is long and the loop should stay in the instruction cache (32 KiB).
// Steps: wide_rows.wgsl. Bindings and the end: matmul_epilogue.wgsl.

const_assert TILES == 1u || TILES == 4u;

const BAND = 4u;

alias Input = vec4<f32>;
alias Rows = array<vec4<f32>, 8u * TILES>;

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
  // Bands of 4 tiles of rows, and in a band column by column: 4 workgroups in a row find the same weights in the cache.
  let tiles_down = (p.rows + TILES * 8u - 1u) / (TILES * 8u);
  let band = tile / (p.column_groups * BAND);
  let within = tile % (p.column_groups * BAND);
  let height = min(BAND, tiles_down - band * BAND);
  let first_row = (band * BAND + within % height) * TILES * 8u;
  let column4 = within / height * 8u + lane;
  let row = first_row + lane;
  var sums = Rows();
  let column_at = min(column4, p.columns4 - 1u);
  let quads = p.depth / 4u;
  for (var first = 0u; first < quads; first += p.block_quads) {
    let block = load_block(first / p.block_quads, column_at);
    for (var quad = first; quad < min(first + p.block_quads, quads); quad++) {
      let four = load_quad(quad, column_at);
      let b = Steps(
        quad_weight(block, four, 0u),
        quad_weight(block, four, 1u),
        quad_weight(block, four, 2u),
        quad_weight(block, four, 3u),
      );
      advance_rows(&sums, 0u, input(row, quad), b);
      if (TILES > 1u) {
        advance_rows(&sums, 8u, input(row + 8u, quad), b);
        advance_rows(&sums, 16u, input(row + 16u, quad), b);
        advance_rows(&sums, 24u, input(row + 24u, quad), b);
      }
    }
  }
  // A loop whose end is not known is not unrolled, and what it indexes stays in memory: else the end of a sum, which is long, would
  // be compiled once a row, and all sums be shuffled through registers.
  let count = min(TILES * 8u, p.rows - first_row);
  for (var i = 0u; i < count; i++) {
    finish(first_row + i, column4, sums[i]);
  }
}
