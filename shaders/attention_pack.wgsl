// attention_pack: heads within rows of floats become rows of halves, a head at a time, with zeros behind.
//   x: head h of token t of sample b starts at offset + (b T + t) stride + h D, in quads   ->   y [B, H, padded, depth] halves
// Beyond the largest half a number becomes it. Bound by memory: reads x, writes half as much. A lane makes 8 halves.

struct Params {
  tokens: u32, // T
  padded: u32,
  heads: u32,
  quads: u32, // of a head
  depth8: u32,
  stride: u32,
  offset: u32,
  count: u32, // of lanes with work
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

fn quad(start: u32, d: u32, known: bool) -> vec2<u32> {
  let value = x[select(0u, start + d, known && d < p.quads)];
  let half = clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return select(vec2<u32>(), vec2<u32>(pack2x16float(half.xy), pack2x16float(half.zw)), known && d < p.quads);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * 256u;
  if (i >= p.count) {
    return;
  }
  let d = i % p.depth8 * 2u;
  let row = i / p.depth8;
  let token = row % p.padded;
  let head = row / p.padded % p.heads;
  let sample = row / p.padded / p.heads;
  let start = p.offset + (sample * p.tokens + token) * p.stride + head * p.quads;
  let known = token < p.tokens;
  y[i] = vec4<u32>(quad(start, d, known), quad(start, d + 1u, known));
}
