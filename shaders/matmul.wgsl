// matmul: y = x w, the portable kernel: every lane owns a tile of ROWS rows by COLUMNS4 quads of columns in registers.
//   x [M, K]   w [K, 4 * columns4]   ->   y [M, N]
// 2 M K N FLOP; per step of k a lane loads ROWS + 4 * COLUMNS4 numbers for 4 * ROWS * COLUMNS4 fused multiply-adds, which is what
// bounds it where caches are slow. Needs no feature and no workgroup memory. Bindings and the end: matmul_epilogue.wgsl.

const_assert ROWS >= 1u && COLUMNS4 >= 1u;

alias Input = f32;

fn input(index: u32) -> f32 {
  let value = x[index];
  if (INPUT_SILU) {
    return value / (1.0 + exp(-value));
  }
  return value;
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let tile = group.x + group.y * groups.x;
  let first_row = (tile / p.column_groups * GROUP_Y + local.y) * ROWS;
  let first_column4 = tile % p.column_groups * GROUP_X * COLUMNS4 + local.x;
  var row_at: array<u32, ROWS>;
  var column_at: array<u32, COLUMNS4>;
  for (var r = 0u; r < ROWS; r++) {
    row_at[r] = min(first_row + r, p.rows - 1u) * p.depth;
  }
  for (var c = 0u; c < COLUMNS4; c++) {
    column_at[c] = min(first_column4 + c * GROUP_X, p.columns4 - 1u);
  }
  var sums: array<array<vec4<f32>, COLUMNS4>, ROWS>;
  let quads = (p.depth + 3u) / 4u;
  for (var first = 0u; first < quads; first += p.block_quads) {
    var blocks: array<Block, COLUMNS4>;
    for (var c = 0u; c < COLUMNS4; c++) {
      blocks[c] = load_block(first / p.block_quads, column_at[c]);
    }
    for (var quad = first; quad < min(first + p.block_quads, quads); quad++) {
      var weights: array<Quad, COLUMNS4>;
      for (var c = 0u; c < COLUMNS4; c++) {
        weights[c] = load_quad(quad, column_at[c]);
      }
      for (var i = 0u; i < 4u; i++) {
        let k = quad * 4u + i;
        var b: array<vec4<f32>, COLUMNS4>;
        for (var c = 0u; c < COLUMNS4; c++) {
          b[c] = select(vec4<f32>(), quad_weight(blocks[c], weights[c], i), k < p.depth);
        }
        for (var r = 0u; r < ROWS; r++) {
          let a = vec4<f32>(input(row_at[r] + min(k, p.depth - 1u)));
          for (var c = 0u; c < COLUMNS4; c++) {
            sums[r][c] = fma(a, b[c], sums[r][c]);
          }
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < COLUMNS4; c++) {
      finish(first_row + r, first_column4 + c * GROUP_X, sums[r][c]);
    }
  }
}
