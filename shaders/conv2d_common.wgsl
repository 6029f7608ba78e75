// What the convolution kernels share: where the inputs of an output lie.

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
  let row = window.sample * (p.height >> p.upsample) + (u32(y) >> p.upsample);
  return i32((row * (p.width >> p.upsample) + (u32(x) >> p.upsample)) * p.channels);
}
