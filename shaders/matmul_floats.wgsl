// How matmul kernels read weights that are floats: they have no scales, so that all of k is one block. Appended with
// weight4_f32.wgsl or weight4_f16.wgsl.
//   w [depth, columns4] of four columns

alias Block = bool;
alias Quad = u32;

fn load_block(index: u32, column4: u32) -> Block {
  return true;
}

// Where the first of four k lies.
fn load_quad(quad: u32, column4: u32) -> Quad {
  return quad * 4u * p.columns4 + column4;
}

fn quad_weight(block: Block, quad: Quad, i: u32) -> vec4<f32> {
  return weight4(w[quad + i * p.columns4]);
}
