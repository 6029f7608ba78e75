// conv2d_wide: a convolution over channels-last images, for CPUs with subgroups of 8.
//   x [B, H, W, CI]   w [K * K * CI, CO]   bias [CO]   ->   y [B, HO, WO, CO], CI and CO multiples of 4
// A workgroup is one subgroup and makes 32 channels, four a lane, of 8 TILES neighbouring outputs. There a load costs many times a
// multiply-add, a vec4 hardly more than a number: so each lane loads four channels of one pixel of eight, and the subgroup passes
// them round: wide_rows.wgsl. 2 * K^2 * CI * CO FLOP an output.

const_assert TILES == 1u || TILES == 4u;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<WeightVec>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: Params;

alias Rows = array<vec4<f32>, 8u * TILES>; // of outputs

// Four channels of a pixel; zeros for padding.
fn channels_at(at: i32, c: u32) -> vec4<f32> {
  return select(vec4<f32>(), x[u32(max(at, 0)) / 4u + c], at >= 0);
}

fn store(output: u32, column: u32, sum: vec4<f32>) {
  let at = output * p.columns4 + column;
  var value = sum;
  if (HAS_BIAS) {
    value += bias[column];
  }
  if (p.add == 1u) {
    value += y[at];
  }
  y[at] = value;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let columns = p.columns4;
  // Workgroups of the same channels follow each other, so that their weights stay in cache.
  let strips = (p.rows + 8u * TILES - 1u) / (8u * TILES);
  let i = id.x + id.y * groups.x;
  let first = i % strips * 8u * TILES;
  let first_column = i / strips * 8u;
  if (first_column >= columns) {
    return; // the grid is a rectangle and may hold more groups than are needed
  }
  let column = first_column + lane;
  let last = p.rows - 1u;
  let window0 = window_of(min(first + lane, last));
  let window1 = window_of(min(first + 8u + lane, last));
  let window2 = window_of(min(first + 16u + lane, last));
  let window3 = window_of(min(first + 24u + lane, last));
  var sums = Rows();
  var w_at = min(column, columns - 1u);
  for (var ky = 0u; ky < p.kernel; ky++) {
    for (var kx = 0u; kx < p.kernel; kx++) {
      let at0 = pixel_at(window0, ky, kx);
      let at1 = pixel_at(window1, ky, kx);
      let at2 = pixel_at(window2, ky, kx);
      let at3 = pixel_at(window3, ky, kx);
      for (var c = 0u; c < p.channels / 4u; c++) {
        let b = Steps(
          weight4(w[w_at]),
          weight4(w[w_at + columns]),
          weight4(w[w_at + 2u * columns]),
          weight4(w[w_at + 3u * columns]),
        );
        w_at += 4u * columns;
        advance_rows(&sums, 0u, channels_at(at0, c), b);
        if (TILES > 1u) {
          advance_rows(&sums, 8u, channels_at(at1, c), b);
          advance_rows(&sums, 16u, channels_at(at2, c), b);
          advance_rows(&sums, 24u, channels_at(at3, c), b);
        }
      }
    }
  }
  if (column < columns) {
    // A loop whose end is not known is not unrolled, and what it indexes stays in memory: else a store for each sum would be
    // compiled, and all sums be shuffled through registers. That needs a long body: one reason for `add` to be asked here.
    let count = min(8u * TILES, p.rows - first);
    for (var j = 0u; j < count; j++) {
      store(first + j, column, sums[j]);
    }
  }
}
