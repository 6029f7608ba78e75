// embedding: rows of a table by id.
//   table [V, C]   ids [T]   ->   y [T, C]
// Bound by memory: reads and writes a row of C floats an id.

struct Params { total: u32, columns: u32, rows: u32 }

@group(0) @binding(0) var<storage, read> table: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < p.total) {
    let row = min(ids[i / p.columns], p.rows - 1u);
    y[i] = table[row * p.columns + i % p.columns];
  }
}
