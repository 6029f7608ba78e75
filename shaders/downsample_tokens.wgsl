// downsample_tokens: a grid of tokens, thinned by S along both axes, or in reading order: PixArt-Σ's compression of keys and values.
//   x [B, h w, C]   weight [C, S S]   bias [C]   ->   y [B, h' w', C], h' = h / S and w' = w / S rounded down
// By convolution a token is the weighted sum of its S x S square, each channel by itself; else it is the square's first token.
// In reading order (GRID false) y [B, N / S, C] has every S-th token. Bound by memory: reads x once (once in S S), writes y.

struct Params {
  total: u32,
  channels: u32,
  tokens: u32,
  width: u32, // w
  out_tokens: u32,
  out_width: u32, // w'
  factor: u32, // S
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= p.total) {
    return;
  }
  let channel = i % p.channels;
  let token = i / p.channels % p.out_tokens;
  let sample = i / (p.channels * p.out_tokens);
  var first = token * p.factor;
  if (GRID) {
    first = token / p.out_width * p.factor * p.width + token % p.out_width * p.factor;
  }
  let at = (sample * p.tokens + first) * p.channels + channel;
  if (CONVOLVE) {
    var sum = bias[channel];
    for (var row = 0u; row < p.factor; row++) {
      for (var column = 0u; column < p.factor; column++) {
        let tap = channel * p.factor * p.factor + row * p.factor + column;
        sum += weight[tap] * x[at + (row * p.width + column) * p.channels];
      }
    }
    y[i] = sum;
  } else {
    y[i] = x[at];
  }
}
