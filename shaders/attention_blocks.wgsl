// Blocks of keys and values for attention_matrix.wgsl: on their way to registers while the block before is in use, then laid in
// workgroup memory for all subgroups.

const STAGED_STRIDE = ROW8 + 1u; // odd, so that rows lie in different banks
const CELLS = BLOCK * ROW8; // of 8 halves
const TURNS = (CELLS + THREADS - 1u) / THREADS;

const_assert TURNS <= 5u;

var<workgroup> staged_k: array<vec4<u32>, BLOCK * STAGED_STRIDE>;
var<workgroup> staged_v: array<vec4<u32>, BLOCK * STAGED_STRIDE>;

struct Cells { k: vec4<u32>, v: vec4<u32> }

struct Fetched { cells0: Cells, cells1: Cells, cells2: Cells, cells3: Cells, cells4: Cells }

fn fetch_cells(block_at: u32, cell: u32) -> Cells {
  let at = block_at + min(cell, CELLS - 1u);
  return Cells(k[at], v[at]);
}

fn fetch_block(block_at: u32, index: u32) -> Fetched {
  var fetched: Fetched;
  fetched.cells0 = fetch_cells(block_at, index);
  if (TURNS > 1u) {
    fetched.cells1 = fetch_cells(block_at, index + THREADS);
  }
  if (TURNS > 2u) {
    fetched.cells2 = fetch_cells(block_at, index + 2u * THREADS);
  }
  if (TURNS > 3u) {
    fetched.cells3 = fetch_cells(block_at, index + 3u * THREADS);
  }
  if (TURNS > 4u) {
    fetched.cells4 = fetch_cells(block_at, index + 4u * THREADS);
  }
  return fetched;
}

fn keep_cells(cells: Cells, cell: u32) {
  if (CELLS % THREADS == 0u || cell < CELLS) {
    let to = cell / ROW8 * STAGED_STRIDE + cell % ROW8;
    staged_k[to] = cells.k;
    staged_v[to] = cells.v;
  }
}

fn keep_block(fetched: Fetched, index: u32) {
  keep_cells(fetched.cells0, index);
  if (TURNS > 1u) {
    keep_cells(fetched.cells1, index + THREADS);
  }
  if (TURNS > 2u) {
    keep_cells(fetched.cells2, index + 2u * THREADS);
  }
  if (TURNS > 3u) {
    keep_cells(fetched.cells3, index + 3u * THREADS);
  }
  if (TURNS > 4u) {
    keep_cells(fetched.cells4, index + 4u * THREADS);
  }
}

// Depth down, keys across.
fn load_keys(block_at: u32, key: u32, d8: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&staged_k, key * STAGED_STRIDE + d8, STAGED_STRIDE);
}

// Keys down, depth across.
fn load_values(block_at: u32, key: u32, d8: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&staged_v, key * STAGED_STRIDE + d8, STAGED_STRIDE);
}
