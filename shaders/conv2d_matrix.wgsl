// How matmul_matrix.wgsl convolves channels-last images: a row of its x is all that a window sees, and is never stored.
//   x [B * H * W + 1, CI] halves, zeros in the last   w [K * K * CI, CO] halves   bias [CO]   ->   y [B, HO, WO, CO], an output a row
// CI is a multiple of TILE_K, so that a step lies within one pixel of each window; CO of 8. The padding is the last pixel.
// 2 * K^2 * CI * CO FLOP an output.

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> w: array<WeightVec>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: Params;

// What an output sees, and which eight channels of a step a lane fetches.
struct Origin { window: Window, eight: u32 }

fn origin_of(first_row: u32, turn: u32, thread: u32) -> Origin {
  let cell = thread + turn * THREADS;
  return Origin(window_of(min(first_row + cell / A_ROW, p.rows - 1u)), cell % A_ROW);
}

fn fetch_a(origin: Origin, step: u32) -> vec4<u32> {
  let k = step * TILE_K;
  let tap = k / p.channels;
  let pixel = pixel_at(origin.window, tap / p.kernel, tap % p.kernel);
  return x[(select(u32(pixel), p.padding_at, pixel < 0) + k - tap * p.channels) / 8u + origin.eight];
}

fn finish(row: u32, column4: u32, sum: vec4<f32>) {
  if (row < p.rows && column4 < p.columns4) {
    let at = row * p.columns4 + column4;
    var value = sum;
    if (HAS_BIAS) {
      value += bias[column4];
    }
    if (p.add == 1u) {
      value += y[at];
    }
    y[at] = value;
  }
}
