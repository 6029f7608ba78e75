// How the end of matmul kernels reads four columns where all columns, strides and offsets are multiples of four.
//   Appended with matmul_epilogue.wgsl, and matmul_to_floats.wgsl or matmul_to_halves.wgsl.

@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> multiply: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> gate: array<vec4<f32>>;

fn bias_at(at: u32, count: u32) -> vec4<f32> {
  return bias[at / 4u];
}

fn multiply_at(at: u32, count: u32) -> vec4<f32> {
  return multiply[at / 4u];
}

fn gate_at(at: u32, count: u32) -> vec4<f32> {
  return gate[at / 4u];
}
