// What a block of weights that are small integers shares: w = scale * q + minimum. Without minimums, q is around zero, for which those
// that count from zero have CENTRE. Appended with matmul_int8.wgsl or matmul_int4.wgsl.
//   scales [ceil(depth / (4 * block_quads)), columns4] of four halves, or of four scales and four minimums

struct Block {
  scale: vec4<f32>,
  minimum: vec4<f32>,
}

fn four_halves(at: u32) -> vec4<f32> {
  let words = scales[at];
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn load_block(index: u32, column4: u32) -> Block {
  let at = index * p.columns4 + column4;
  if (has(WITH_MINIMUM)) {
    return Block(four_halves(2u * at), four_halves(2u * at + 1u));
  }
  let scale = four_halves(at);
  return Block(scale, -CENTRE * scale);
}

fn load_quad(quad: u32, column4: u32) -> Quad {
  return w[quad * p.columns4 + column4];
}
