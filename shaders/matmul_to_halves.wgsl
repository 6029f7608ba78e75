// How the end of matmul kernels writes four columns of halves, two to a word. Appended with matmul_columns_4.wgsl.

@group(0) @binding(6) var<storage, read_write> y: array<vec2<u32>>;

fn y_at(at: u32, count: u32) -> vec4<f32> {
  let words = y[at / 4u];
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn store(at: u32, count: u32, four: vec4<f32>) {
  y[at / 4u] = vec2<u32>(pack2x16float(four.xy), pack2x16float(four.zw));
}
