// What the convolution kernels share: where the inputs of an output lie, and how four of its channels are stored.

// Where the window of an output begins in the (upsampled) input.
struct Window { sample: u32, y: i32, x: i32 }

fn window_of(output: u32) -> Window {
  let row = output / p.out_width;
  let sample = row / p.out_height;
  return Window(
    sample,
    i32((row - sample * p.out_height) * p.stride) - p.top,
    i32((output - row * p.out_width) * p.stride) - p.left,
  );
}

// The element of x where a pixel of a window begins; -1 in the padding.
fn pixel_at(window: Window, ky: u32, kx: u32) -> i32 {
  let y = window.y + i32(ky);
  let x = window.x + i32(kx);
  if (y < 0 || x < 0 || y >= i32(p.height) || x >= i32(p.width)) {
    return -1;
  }
  if (UPSAMPLE) {
    return i32(((window.sample * (p.height / 2u) + u32(y) / 2u) * (p.width / 2u) + u32(x) / 2u) * p.channels);
  }
  return i32(((window.sample * p.height + u32(y)) * p.width + u32(x)) * p.channels);
}

// Channel `c` of the pixel that begins at `at`; 0 in the padding.
fn load(at: i32, c: u32) -> f32 {
  return select(0.0, x[u32(max(at, 0)) + c], at >= 0);
}

// Channels 4 * column .. 4 * column + 3 of an output.
fn store(output: u32, column: u32, sums: vec4<f32>) {
  for (var j = 0u; j < 4u; j++) {
    let channel = column * 4u + j;
    if (channel < p.out_channels) {
      var value = sums[j];
      if (HAS_BIAS) {
        value += bias[channel];
      }
      let at = output * p.out_channels + channel;
      if (ADD) {
        value += y[at];
      }
      y[at] = value;
    }
  }
}
