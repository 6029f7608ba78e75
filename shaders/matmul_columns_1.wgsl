// How the end of matmul kernels reads and writes four columns where nothing is known of their number and their places: one by one.
//   Appended with matmul_epilogue.wgsl; `count` of the four lie in the matrix.

@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> multiply: array<f32>;
@group(0) @binding(5) var<storage, read> gate: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

fn bias_at(at: u32, count: u32) -> vec4<f32> {
  var four = vec4<f32>();
  for (var i = 0u; i < count; i++) {
    four[i] = bias[at + i];
  }
  return four;
}

fn multiply_at(at: u32, count: u32) -> vec4<f32> {
  var four = vec4<f32>();
  for (var i = 0u; i < count; i++) {
    four[i] = multiply[at + i];
  }
  return four;
}

fn gate_at(at: u32, count: u32) -> vec4<f32> {
  var four = vec4<f32>();
  for (var i = 0u; i < count; i++) {
    four[i] = gate[at + i];
  }
  return four;
}

fn y_at(at: u32, count: u32) -> vec4<f32> {
  var four = vec4<f32>();
  for (var i = 0u; i < count; i++) {
    four[i] = y[at + i];
  }
  return four;
}

fn store(at: u32, count: u32, four: vec4<f32>) {
  for (var i = 0u; i < count; i++) {
    y[at + i] = four[i];
  }
}
