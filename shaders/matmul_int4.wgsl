// How matmul kernels read weights of four bits, which count from zero. Appended with matmul_blocks.wgsl.
//   w [depth / 4, columns4] of four k: half a word has four columns, from the low bits on

alias WeightVec = vec2<u32>;
alias Quad = vec2<u32>;

const CENTRE = 8.0;

fn quad_weight(block: Block, quad: Quad, i: u32) -> vec4<f32> {
  let bits = vec4<u32>(quad[i / 2u] >> (i % 2u * 16u)) >> vec4<u32>(0u, 4u, 8u, 12u);
  return fma(vec4<f32>(bits & vec4<u32>(15u)), block.scale, block.minimum);
}
