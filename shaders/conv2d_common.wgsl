// What the convolution kernels share, appended behind each: Params, and where the inputs of an output lie.

struct Params {
  rows: u32, // outputs: B * HO * WO
  depth: u32, // K * K * CI
  columns: u32, // CO
  columns4: u32, // quads of channels of the packed weights
  column_groups: u32, // workgroups side by side, in kernels that have a grid of them
  height: u32, // H, W of x, after upsampling
  width: u32,
  channels: u32, // CI
  out_height: u32, // HO, WO
  out_width: u32,
  kernel: u32, // its height and width
  stride: u32,
  upsample: u32, // 1: each pixel of x is read as 2 x 2 pixels
  top: i32,
  left: i32,
  add: u32, // 1: the result is added to what y holds
  padding_at: u32, // element of x where a pixel of zeros begins, where x is halves
  x_range: f32, // x is this many times what its halves say
}

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
