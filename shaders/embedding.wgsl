// embedding: rows of a table, picked by number.
//   table [V, C]   ids [N]   ->   y [N, C]
// Bound by memory: reads and writes N * C numbers. f32 is copied as bits; halves lie two to a word, and a row may begin in the
// middle of one. A number that the table does not have gives a row of NaN, which the check of the network's result will name.

struct Params { ids: u32, rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  let n = i / p.columns;
  if (n >= p.ids) {
    return;
  }
  let row = ids[n];
  if (row >= p.rows) {
    y[i] = 0x7fc00000u;
    return;
  }
  let at = row * p.columns + i - n * p.columns;
  if (HALVES) {
    y[i] = bitcast<u32>(unpack2x16float(table[at / 2u])[at & 1u]);
  } else {
    y[i] = table[at];
  }
}
