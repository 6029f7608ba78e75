// matmul_batched: y = a b for each matrix of a batch, plain: a lane owns ROWS rows of one column.
//   a [B, M, K]   b [B, K, N], or [B, N, K] when B_TRANSPOSED   ->   y [B, M, N]
// 2 B M K N FLOP. For small products of activations; weights go through matmul.wgsl.

struct Params { rows: u32, depth: u32, columns: u32, row_tiles: u32, column_tiles: u32, batch: u32 }

const ROWS = 4u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.x + group.y * groups.x;
  let column = tile % p.column_tiles * 64u + lane;
  let first_row = tile / p.column_tiles % p.row_tiles * ROWS;
  let matrix = tile / p.column_tiles / p.row_tiles;
  if (column >= p.columns || matrix >= p.batch) {
    return;
  }
  let column_at = matrix * p.depth * p.columns + select(column, column * p.depth, B_TRANSPOSED);
  let step = select(p.columns, 1u, B_TRANSPOSED);
  var row_at: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    row_at[r] = (matrix * p.rows + min(first_row + r, p.rows - 1u)) * p.depth;
  }
  var sums: array<f32, ROWS>;
  for (var k = 0u; k < p.depth; k++) {
    let value = b[column_at + k * step];
    for (var r = 0u; r < ROWS; r++) {
      sums[r] = fma(a[row_at[r] + k], value, sums[r]);
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    if (first_row + r < p.rows) {
      y[(matrix * p.rows + first_row + r) * p.columns + column] = sums[r];
    }
  }
}
