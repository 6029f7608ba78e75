// relu_pool: the largest of each side x side pixels, and nothing below 0.
//   x [H, W, C]   ->   y [H / side, W / side, C], rounded down
// A side of 1 is ReLU alone. Bound by memory: reads x once, writes y once.

struct Params {
  side: u32,
  in_width: u32, // W
  width: u32, // of y
  columns: u32, // C
  total: u32, // floats of y
}

@group(0) @binding(0) var<storage, read> x: array<Lanes>;
@group(0) @binding(1) var<storage, read_write> y: array<Lanes>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total / LANES) {
    return;
  }
  let columns = p.columns / LANES;
  let pixel = i / columns;
  let row = pixel / p.width;
  let first = (row * p.in_width + pixel - row * p.width) * p.side;
  let column = i - pixel * columns;
  var most = Lanes(0.0);
  for (var down = 0u; down < p.side; down += 1u) {
    for (var right = 0u; right < p.side; right += 1u) {
      most = max(most, x[(first + down * p.in_width + right) * columns + column]);
    }
  }
  y[i] = most;
}
