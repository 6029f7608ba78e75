// pack_quantized: rows of a checkpoint become columns of a weight in blocks of small integers, made here.
//   raw [rows, depth] in 32-bit words   ->   values, scales as in matmul_int8.wgsl and matmul_int4.wgsl, from column `offset` on
// One invocation makes a block of four neighbouring columns. Bound by memory, reads raw once; with 4 bits by the arithmetic of the
// search for a scale. Blocks of zeros have the scale zero. Conversions: half_bits.wgsl; layout: pack_values.wgsl.

const SOURCE_F32 = 0u;
const SOURCE_F16 = 1u;
const LONGEST = 32u;

alias Numbers = array<f32, LONGEST>;

struct Params {
  rows: u32,
  depth: u32,
  block_length: u32,
  columns4: u32,
  offset: u32,
  with_minimum: u32,
  tensor: u32,
}

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> not_finite: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> p: Params;

fn float_bits(i: u32) -> u32 {
  if (SOURCE == SOURCE_F32) {
    return raw[i];
  }
  let bits = (raw[i / 2u] >> ((i & 1u) * 16u)) & 0xffffu;
  if (SOURCE == SOURCE_F16) {
    return half_to_float(bits);
  }
  return bits << 16u;
}

fn quantize(number: f32, inverse: f32) -> f32 {
  if (BITS == 8u) {
    return clamp(round(number * inverse), -127.0, 127.0);
  }
  return clamp(round(number * inverse), -8.0, 7.0);
}

// The scale of a block, given its number that is largest in size. Four bits reach from -8 to 7: the largest becomes the end that
// reaches further, or a little more or less, whichever leaves the least squared error; the scale is then the one of least squares.
fn choose_scale(numbers: ptr<function, Numbers>, count: u32, largest: f32) -> f32 {
  if (BITS == 8u) {
    return abs(largest) / 127.0;
  }
  var scale = 0.0;
  var gain = 0.0;
  for (var candidate = 0u; candidate < 4u; candidate++) {
    let inverse = -(7.0 + 0.5 * f32(candidate)) / largest;
    var cross = 0.0;
    var square = 0.0;
    for (var i = 0u; i < count; i++) {
      let q = quantize((*numbers)[i], inverse);
      cross = fma(q, (*numbers)[i], cross);
      square = fma(q, q, square);
    }
    if (cross * cross > gain * square) {
      gain = cross * cross / square;
      scale = cross / square;
    }
  }
  return scale;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column4 = p.offset / 4u + id.x;
  let first = id.y * p.block_length;
  if (id.x * 4u >= p.rows || first >= p.depth) {
    return;
  }
  let count = min(p.block_length, p.depth - first);
  var words = array<u32, LONGEST>(); // what each k has of its four columns
  var scale_bits = vec4<u32>();
  var minimum_bits = vec4<u32>();
  for (var column = 0u; column < min(4u, p.rows - id.x * 4u); column++) {
    let row_at = (id.x * 4u + column) * p.depth + first;
    var numbers = Numbers();
    var largest = 0u;
    for (var i = 0u; i < count; i++) {
      let bits = float_bits(row_at + i);
      numbers[i] = bitcast<f32>(bits);
      if ((bits & 0x7fffffffu) > (largest & 0x7fffffffu)) {
        largest = bits;
      }
    }
    // As integers, NaN is larger than infinity, and that than all numbers: a block with either has it for its scale.
    if ((largest & 0x7f800000u) == 0x7f800000u) {
      scale_bits[column] = 0x7e00u;
    } else if ((largest & 0x7fffffffu) != 0u) {
      scale_bits[column] = float_to_half(bitcast<u32>(choose_scale(&numbers, count, bitcast<f32>(largest))));
    }
    if ((scale_bits[column] & 0x7c00u) == 0x7c00u) {
      atomicStore(&not_finite[p.tensor], 1u);
    }
    let scale = bitcast<f32>(half_to_float(scale_bits[column]));
    let inverse = select(0.0, 1.0 / scale, (scale_bits[column] & 0x7fffu) != 0u);
    for (var i = 0u; i < count; i++) {
      let q = i32(quantize(numbers[i], inverse));
      words[i] |= select((u32(q + 8) & 15u) << (4u * column), (u32(q) & 255u) << (8u * column), BITS == 8u);
    }
    // With minimums, four bits count from zero.
    if (BITS == 4u) {
      minimum_bits[column] = float_to_half(bitcast<u32>(-8.0 * scale));
    }
  }
  store_scales(id.y, column4, scale_bits, minimum_bits);
  store_values(first, count, column4, &words);
}
