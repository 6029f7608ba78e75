// blend_tile: fades a tile in over the tiles above and to the left of it, which overlap it, and puts it on the canvas.
//   above [B, Ha, W, C]   left [B, H, Wl, C]   tile [B, H, W, C], blended in place   canvas [B, CH, CW, C]
// Row y of the first `fade_down` is a mix of the last rows of `above` and of the tile, from all of the former at y = 0; then
// column x of the first `fade_right` likewise with `left`. The mixed tile is what the next tiles fade in over. Its first rows
// and columns go to the canvas at (top, left). Bound by memory: reads and writes the tile, writes the canvas.

struct Params {
  total: u32, // elements of the tile
  height: u32, // H
  width: u32, // W
  channels: u32, // C
  above_height: u32, // Ha
  left_width: u32, // Wl
  fade_down: u32,
  fade_right: u32,
  canvas_height: u32, // CH
  canvas_width: u32, // CW
  canvas_top: u32,
  canvas_left: u32,
  kept_height: u32, // rows of the tile that go to the canvas
  kept_width: u32,
}

@group(0) @binding(0) var<storage, read> above: array<f32>;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read_write> tile: array<f32>;
@group(0) @binding(3) var<storage, read_write> canvas: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let pixel = i / p.channels;
  let c = i - pixel * p.channels;
  let line = pixel / p.width; // counted through the batch
  let x = pixel - line * p.width;
  let b = line / p.height;
  let y = line - b * p.height;
  var value = tile[i];
  if (y < p.fade_down) {
    let share = f32(y) / f32(p.fade_down);
    let row = b * p.above_height + p.above_height - p.fade_down + y;
    value = above[(row * p.width + x) * p.channels + c] * (1.0 - share) + value * share;
  }
  if (x < p.fade_right) {
    let share = f32(x) / f32(p.fade_right);
    let column = p.left_width - p.fade_right + x;
    value = left[(line * p.left_width + column) * p.channels + c] * (1.0 - share) + value * share;
  }
  tile[i] = value;
  if (y < p.kept_height && x < p.kept_width) {
    let row = b * p.canvas_height + p.canvas_top + y;
    canvas[(row * p.canvas_width + p.canvas_left + x) * p.channels + c] = value;
  }
}
