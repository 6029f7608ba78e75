// What all matmul kernels share, appended behind each: bindings, Params, and what becomes of a finished sum.
//   x [rows, depth]   w [depth, 4 * columns4]   bias [columns]   multiply, y [rows, columns]   gate [samples, columns]
// How w and its scales lie, and how they become floats: matmul_floats.wgsl, matmul_int8.wgsl, matmul_int4.wgsl.
// How four neighbouring columns of the others are read: matmul_columns_1.wgsl, matmul_columns_4.wgsl.
// x_stride and x_range are for x as halves: a row has x_stride vectors of eight, and x is x_range times what they say.
// Order: sum + bias, activation, * multiply, then either stored or y += gate * it. The options are bits of `flags`, not
// constants: they cost nothing next to the sum, and each constant would double the number of pipelines.

struct Params {
  rows: u32,
  depth: u32,
  block_quads: u32,
  columns: u32,
  columns4: u32,
  column_groups: u32,
  flags: u32,
  out_stride: u32,
  out_offset: u32,
  multiply_stride: u32,
  multiply_offset: u32,
  gate_stride: u32,
  gate_offset: u32,
  rows_per_sample: u32,
  first_row: u32,
  x_stride: u32,
  x_range: f32,
}

const WITH_BIAS = 1u;
const WITH_GELU = 2u;
const WITH_SILU = 4u;
const WITH_MULTIPLY = 8u;
const WITH_ADD = 16u;
const WITH_GATE = 32u;
const WITH_MINIMUM = 64u;

@group(0) @binding(0) var<storage, read> x: array<Input>;
@group(0) @binding(1) var<storage, read> w: array<WeightVec>;
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>;
@group(0) @binding(7) var<uniform> p: Params;

fn has(flag: u32) -> bool {
  return (p.flags & flag) != 0u;
}

fn silu(v: vec4<f32>) -> vec4<f32> {
  return v / (1.0 + exp(-v));
}

// Beyond 10, tanh is 1 in f32, and some drivers overflow on the way there.
fn gelu_tanh(v: vec4<f32>) -> vec4<f32> {
  let inner = 0.7978845608028654 * (v + 0.044715 * v * v * v);
  return 0.5 * v * (1.0 + tanh(clamp(inner, vec4<f32>(-10.0), vec4<f32>(10.0))));
}

// Finishes the sums of columns 4 * column4 .. + 3 of a row; places outside the matrix are left out.
fn finish(row: u32, column4: u32, sum: vec4<f32>) {
  let column = column4 * 4u;
  if (row >= p.rows || column >= p.columns) {
    return;
  }
  let count = min(4u, p.columns - column);
  let out = row * p.out_stride + p.out_offset + column;
  var v = sum;
  if (has(WITH_BIAS)) {
    v += bias_at(column, count);
  }
  if (has(WITH_GELU)) {
    v = gelu_tanh(v);
  }
  if (has(WITH_SILU)) {
    v = silu(v);
  }
  if (has(WITH_MULTIPLY)) {
    v *= multiply_at(row * p.multiply_stride + p.multiply_offset + column, count);
  }
  if (has(WITH_GATE)) {
    v *= gate_at((row + p.first_row) / p.rows_per_sample * p.gate_stride + p.gate_offset + column, count);
  }
  if (has(WITH_ADD)) {
    v += y_at(out, count);
  }
  store(out, count, v);
}
