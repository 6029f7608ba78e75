// How the end of matmul kernels writes four columns of floats. Appended with matmul_columns_4.wgsl.

@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

fn y_at(at: u32, count: u32) -> vec4<f32> {
  return y[at / 4u];
}

fn store(at: u32, count: u32, four: vec4<f32>) {
  y[at / 4u] = four;
}
