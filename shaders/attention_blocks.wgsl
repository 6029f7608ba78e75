// Blocks of keys and values for attention_matrix.wgsl: on their way to registers while a block is in use, then laid in workgroup
// memory for all subgroups, beside the block in use.

const STAGED_STRIDE = ROW8 + 1u; // odd, so that rows lie in different banks
const CELLS = BLOCK * ROW8; // of 8 halves
const TURNS = (CELLS + THREADS - 1u) / THREADS;

const_assert TURNS <= 5u;

var<workgroup> staged_k: array<array<vec4<u32>, BLOCK * STAGED_STRIDE>, 2>;
var<workgroup> staged_v: array<array<vec4<u32>, BLOCK * STAGED_STRIDE>, 2>;

struct Cells { k: vec4<u32>, v: vec4<u32> }

struct Fetched { cells0: Cells, cells1: Cells, cells2: Cells, cells3: Cells, cells4: Cells }

// Where a head begins, and which lane fetches.
struct Place { k: u32, v: u32, index: u32 }

// Keys behind the last are the last again: they weigh nothing.
fn fetch_cells(place: Place, first_key: u32, turn: u32) -> Cells {
  let cell = min(place.index + turn * THREADS, CELLS - 1u);
  let key = min(first_key + cell / ROW8, p.keys - 1u);
  let d8 = min(cell % ROW8, p.depth8 - 1u);
  return Cells(k[place.k + key * p.k_stride + d8], v[place.v + key * p.v_stride + d8]);
}

fn fetch_block(place: Place, first_key: u32) -> Fetched {
  var fetched = Fetched();
  fetched.cells0 = fetch_cells(place, first_key, 0u);
  if (TURNS > 1u) {
    fetched.cells1 = fetch_cells(place, first_key, 1u);
  }
  if (TURNS > 2u) {
    fetched.cells2 = fetch_cells(place, first_key, 2u);
  }
  if (TURNS > 3u) {
    fetched.cells3 = fetch_cells(place, first_key, 3u);
  }
  if (TURNS > 4u) {
    fetched.cells4 = fetch_cells(place, first_key, 4u);
  }
  return fetched;
}

// Behind the head lie zeros.
fn keep_cells(cells: Cells, buffer: u32, cell: u32) {
  if (CELLS % THREADS == 0u || cell < CELLS) {
    let to = cell / ROW8 * STAGED_STRIDE + cell % ROW8;
    let known = cell % ROW8 < p.depth8;
    staged_k[buffer][to] = select(vec4<u32>(), cells.k, known);
    staged_v[buffer][to] = select(vec4<u32>(), cells.v, known);
  }
}

fn keep_block(fetched: Fetched, buffer: u32, index: u32) {
  keep_cells(fetched.cells0, buffer, index);
  if (TURNS > 1u) {
    keep_cells(fetched.cells1, buffer, index + THREADS);
  }
  if (TURNS > 2u) {
    keep_cells(fetched.cells2, buffer, index + 2u * THREADS);
  }
  if (TURNS > 3u) {
    keep_cells(fetched.cells3, buffer, index + 3u * THREADS);
  }
  if (TURNS > 4u) {
    keep_cells(fetched.cells4, buffer, index + 4u * THREADS);
  }
}

// Depth down, keys across.
fn load_keys(buffer: u32, key: u32, d8: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&staged_k[buffer], key * STAGED_STRIDE + d8, STAGED_STRIDE);
}

// Keys down, depth across.
fn load_values(buffer: u32, key: u32, d8: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&staged_v[buffer], key * STAGED_STRIDE + d8, STAGED_STRIDE);
}
