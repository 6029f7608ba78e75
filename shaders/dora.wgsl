// dora: rows of a weight are given the lengths that a DoRA learned: rows[n] *= magnitude[n] / |direction[n]|.
//   direction [N, K], or rows themselves   magnitude [N]   rows [N, K], in place
// Sums in f32. ROWS rows a workgroup. Bound by memory: reads rows twice (or direction and rows once), writes rows once.

struct Params { rows: u32, columns: u32, has_direction: u32 }

@group(0) @binding(0) var<storage, read> direction: array<Lanes>;
@group(0) @binding(1) var<storage, read> magnitude: array<f32>;
@group(0) @binding(2) var<storage, read_write> rows: array<Lanes>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WORKERS)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) worker: u32,
) {
  let first = (id.x + id.y * groups.x) * ROWS;
  if (first >= p.rows) {
    return; // the grid is a rectangle and may hold more groups than are needed
  }
  let length = p.columns / LANES;
  for (var r = 0u; r < ROWS; r++) {
    let row = min(first + r, p.rows - 1u);
    let start = row * length;
    var sum = Lanes();
    for (var i = worker; i < length; i += WORKERS) {
      var v: Lanes;
      if (p.has_direction != 0u) {
        v = direction[start + i];
      } else {
        v = rows[start + i];
      }
      sum += v * v;
    }
    let square = workgroup_sum(lane_sum(sum), worker);
    // A row of zeros has no direction, and stays.
    let factor = select(0.0, magnitude[row] / sqrt(max(square, 1e-37)), square > 0.0);
    if (first + r < p.rows) {
      for (var i = worker; i < length; i += WORKERS) {
        rows[start + i] *= factor;
      }
    }
  }
}
