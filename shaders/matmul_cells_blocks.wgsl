// How matmul_matrix.wgsl fetches weights that are small integers: a cell is four k by eight columns, and lies in two blocks side by
// side. Appended with matmul_blocks.wgsl and matmul_int8.wgsl or matmul_int4.wgsl.

const CELL_DEPTH = 4u;

struct Cell {
  left_block: Block,
  right_block: Block,
  left: Quad,
  right: Quad,
}

// Columns beyond the last are any others: they are multiplied, and left out in the end.
fn fetch_cell(k: u32, column: u32) -> Cell {
  let left = min(column / 4u, p.columns4 - 1u);
  let right = min(column / 4u + 1u, p.columns4 - 1u);
  let block = k / 4u / p.block_quads;
  return Cell(
    load_block(block, left),
    load_block(block, right),
    load_quad(k / 4u, left),
    load_quad(k / 4u, right),
  );
}

// Eight halves of a row of the cell.
fn cell_row(cell: Cell, row: u32) -> vec4<u32> {
  let left = quad_weight(cell.left_block, cell.left, row);
  let right = quad_weight(cell.right_block, cell.right, row);
  return vec4<u32>(
    pack2x16float(left.xy),
    pack2x16float(left.zw),
    pack2x16float(right.xy),
    pack2x16float(right.zw),
  );
}
