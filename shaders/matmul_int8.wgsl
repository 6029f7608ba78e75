// How matmul kernels read weights of eight bits. Appended with matmul_blocks.wgsl.
//   w [depth / 4, columns4] of four k: a word has four columns, from the low byte on

alias WeightVec = vec4<u32>;
alias Quad = vec4<u32>;

const CENTRE = 0.0;

fn quad_weight(block: Block, quad: Quad, i: u32) -> vec4<f32> {
  let bytes = bitcast<vec4<i32>>(vec4<u32>(quad[i]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
  return fma(vec4<f32>(bytes), block.scale, block.minimum);
}
