// How matmul_matrix.wgsl fetches weights that are halves, two to a word, with no scales: a cell is eight columns.
//   w [depth, columns4 / 2] of eight columns, so that columns are a multiple of 8

const CELL_DEPTH = 1u;

alias WeightVec = vec4<u32>;
alias Cell = vec4<u32>;

// Columns beyond the last are any others: they are multiplied, and left out in the end.
fn fetch_cell(k: u32, column: u32) -> Cell {
  return w[(k * p.columns4 * 4u + min(column, p.columns4 * 4u - 8u)) / 8u];
}

// Eight halves of a row of the cell.
fn cell_row(cell: Cell, row: u32) -> vec4<u32> {
  return cell;
}
