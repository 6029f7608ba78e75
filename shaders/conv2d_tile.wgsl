// conv2d: a convolution over channels-last images as one product of matrices, for GPUs: tiles pass through workgroup memory.
//   x [B, H, W, CI]   w [K * K * CI, CO]   bias [CO]   ->   y [B, HO, WO, CO], CI a multiple of 16, CO of 4
// A workgroup makes 128 outputs by 128 channels; each of its 16 x 16 invocations 8 outputs, 16 apart, by 2 quads of channels, 64
// apart. A step takes 16 channels of a tap; while it is multiplied the next is on its way to registers. Nothing in registers is
// indexed by a loop: some compilers would move it to memory. 2 * K^2 * CI * CO FLOP an output.

const OUTPUTS = 128u;
const COLUMNS = 32u; // of 4 channels
const DEPTH = 16u;
const X_STRIDE = 5u; // quads of an output, odd, so that outputs lie in different banks

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<WeightVec>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: Params;

var<workgroup> xs: array<vec4<f32>, OUTPUTS * X_STRIDE>;
var<workgroup> ws: array<vec4<f32>, DEPTH * COLUMNS>;

alias Sums = array<vec4<f32>, 8>; // outputs by 4 channels
alias Weights = array<vec4<f32>, 4>; // 4 input channels by 4 channels

fn advance_output(sum: vec4<f32>, pixel: vec4<f32>, b: Weights) -> vec4<f32> {
  return fma(pixel.wwww, b[3], fma(pixel.zzzz, b[2], fma(pixel.yyyy, b[1], fma(pixel.xxxx, b[0], sum))));
}

// Adds 4 input channels of 8 outputs to their sums.
fn advance(sums: ptr<function, Sums>, pixels: ptr<function, Sums>, b: Weights) {
  (*sums)[0] = advance_output((*sums)[0], (*pixels)[0], b);
  (*sums)[1] = advance_output((*sums)[1], (*pixels)[1], b);
  (*sums)[2] = advance_output((*sums)[2], (*pixels)[2], b);
  (*sums)[3] = advance_output((*sums)[3], (*pixels)[3], b);
  (*sums)[4] = advance_output((*sums)[4], (*pixels)[4], b);
  (*sums)[5] = advance_output((*sums)[5], (*pixels)[5], b);
  (*sums)[6] = advance_output((*sums)[6], (*pixels)[6], b);
  (*sums)[7] = advance_output((*sums)[7], (*pixels)[7], b);
}

// Quads of weights of 4 input channels, from workgroup memory.
fn weights_at(at: u32) -> Weights {
  return Weights(ws[at], ws[at + COLUMNS], ws[at + 2u * COLUMNS], ws[at + 3u * COLUMNS]);
}

// Four channels of a pixel of a window, zero in the padding.
fn pixel_quad(window: Window, ky: u32, kx: u32, channel: u32) -> vec4<f32> {
  let at = pixel_at(window, ky, kx);
  return select(vec4<f32>(), x[(u32(max(at, 0)) + channel) / 4u], at >= 0);
}

fn store(output: u32, column: u32, sum: vec4<f32>) {
  let columns = p.columns4;
  if (output < p.rows && column < columns) {
    let at = output * columns + column;
    var value = sum;
    if (HAS_BIAS) {
      value += bias[column];
    }
    if (p.add == 1u) {
      value += y[at];
    }
    y[at] = value;
  }
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let columns = p.columns4;
  let group = id.x + id.y * groups.x;
  // Workgroups of the same pixels follow each other, so that those stay in cache.
  let first_output = group / p.column_groups * OUTPUTS;
  let first_column = group % p.column_groups * COLUMNS;
  let steps_per_tap = p.channels / DEPTH;
  let steps = p.kernel * p.kernel * steps_per_tap;

  // What an invocation brings: a quad of channels of two outputs 64 apart, and of two rows of weights 8 apart.
  let window0 = window_of(min(first_output + index / 4u, p.rows - 1u));
  let window1 = window_of(min(first_output + index / 4u + 64u, p.rows - 1u));
  let x_to = index / 4u * X_STRIDE + index % 4u;
  let w_from = index / COLUMNS * columns + min(first_column + index % COLUMNS, columns - 1u);
  var x0 = pixel_quad(window0, 0u, 0u, index % 4u * 4u);
  var x1 = pixel_quad(window1, 0u, 0u, index % 4u * 4u);
  var w0 = w[w_from];
  var w1 = w[w_from + 8u * columns];
  var low = Sums(); // of the first quad of channels
  var high = Sums();
  for (var step = 0u; step < steps; step++) {
    workgroupBarrier(); // the step before is done with
    xs[x_to] = x0;
    xs[x_to + 64u * X_STRIDE] = x1;
    ws[index] = weight4(w0);
    ws[index + 256u] = weight4(w1);
    workgroupBarrier();
    let next = min(step + 1u, steps - 1u);
    let tap = next / steps_per_tap;
    let channel = next % steps_per_tap * DEPTH + index % 4u * 4u;
    x0 = pixel_quad(window0, tap / p.kernel, tap % p.kernel, channel);
    x1 = pixel_quad(window1, tap / p.kernel, tap % p.kernel, channel);
    w0 = w[w_from + next * DEPTH * columns];
    w1 = w[w_from + (next * DEPTH + 8u) * columns];
    for (var d = 0u; d < DEPTH / 4u; d++) {
      let at = local.y * X_STRIDE + d;
      var pixels = Sums(
        xs[at],
        xs[at + 16u * X_STRIDE],
        xs[at + 32u * X_STRIDE],
        xs[at + 48u * X_STRIDE],
        xs[at + 64u * X_STRIDE],
        xs[at + 80u * X_STRIDE],
        xs[at + 96u * X_STRIDE],
        xs[at + 112u * X_STRIDE],
      );
      advance(&low, &pixels, weights_at(d * 4u * COLUMNS + local.x));
      advance(&high, &pixels, weights_at(d * 4u * COLUMNS + local.x + 16u));
    }
  }
  let output = first_output + local.y;
  let column = first_column + local.x;
  store(output, column, low[0]);
  store(output, column + 16u, high[0]);
  store(output + 16u, column, low[1]);
  store(output + 16u, column + 16u, high[1]);
  store(output + 32u, column, low[2]);
  store(output + 32u, column + 16u, high[2]);
  store(output + 48u, column, low[3]);
  store(output + 48u, column + 16u, high[3]);
  store(output + 64u, column, low[4]);
  store(output + 64u, column + 16u, high[4]);
  store(output + 80u, column, low[5]);
  store(output + 80u, column + 16u, high[5]);
  store(output + 96u, column, low[6]);
  store(output + 96u, column + 16u, high[6]);
  store(output + 112u, column, low[7]);
  store(output + 112u, column + 16u, high[7]);
}
