// pack_quantized: rows of a checkpoint become columns of a weight in blocks of small integers, made here.
//   raw [rows, depth] in pairs of words   ->   values, scales as in matmul_int8.wgsl and matmul_int4.wgsl, from column `offset` on
// One invocation makes a block of four neighbouring columns. Bound by memory, reads raw once; with 4 bits by the arithmetic of the
// search for a scale. Blocks of zeros have the scale zero. Loops over a block have a fixed length, so that compilers unroll them and keep
// its numbers in registers. Reading: checkpoint_floats.wgsl, half_bits.wgsl; layout: pack_values.wgsl.

const_assert BLOCK % 4u == 0u;

const QUADS = BLOCK / 4u;

alias Numbers = array<vec4<f32>, QUADS>; // of one column, four k each

struct Params {
  rows: u32,
  depth: u32,
  columns4: u32,
  offset: u32,
  with_minimum: u32,
  tensor: u32,
}

@group(0) @binding(0) var<storage, read> raw: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> values: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> not_finite: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> p: Params;

fn quantize(numbers: vec4<f32>, inverse: f32) -> vec4<f32> {
  if (BITS == 8u) {
    return clamp(round(numbers * inverse), vec4<f32>(-127.0), vec4<f32>(127.0));
  }
  return clamp(round(numbers * inverse), vec4<f32>(-8.0), vec4<f32>(7.0));
}

// The scale of a block, given its number that is largest in size. Four bits reach from -8 to 7: the largest becomes the end that
// reaches further, or a little more or less, whichever leaves the least squared error; the scale is then the one of least squares.
fn choose_scale(numbers: ptr<function, Numbers>, largest: f32) -> f32 {
  if (BITS == 8u) {
    return abs(largest) / 127.0;
  }
  var scale = 0.0;
  var gain = 0.0;
  for (var candidate = 0u; candidate < 4u; candidate++) {
    let inverse = -(7.0 + 0.5 * f32(candidate)) / largest;
    var crosses = vec4<f32>();
    var squares = vec4<f32>();
    for (var i = 0u; i < QUADS; i++) {
      let q = quantize((*numbers)[i], inverse);
      crosses = fma(q, (*numbers)[i], crosses);
      squares = fma(q, q, squares);
    }
    let cross = dot(crosses, vec4<f32>(1.0));
    let square = dot(squares, vec4<f32>(1.0));
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
  let first = id.y * BLOCK;
  if (id.x * 4u >= p.rows || first >= p.depth) {
    return;
  }
  var words = array<vec4<u32>, QUADS>(); // what each of four k has of its four columns
  var scale_bits = vec4<u32>();
  var minimum_bits = vec4<u32>();
  for (var column = 0u; column < min(4u, p.rows - id.x * 4u); column++) {
    let row_at = (id.x * 4u + column) * p.depth + first;
    var numbers = Numbers(); // zeros behind the end of a row
    var sizes = vec4<u32>();
    var highest = vec4<f32>();
    for (var i = 0u; i < QUADS; i++) {
      if (first + 4u * i < p.depth) {
        let bits = as_floats(four_elements(row_at / 4u + i));
        numbers[i] = bitcast<vec4<f32>>(bits);
        sizes = max(sizes, bits & vec4<u32>(0x7fffffffu));
        highest = max(highest, numbers[i]);
      }
    }
    let size = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
    let top = max(max(highest.x, highest.y), max(highest.z, highest.w));
    // As integers, NaN is larger than infinity, and that than all numbers: a block with either has it for its scale.
    if (size >= 0x7f800000u) {
      scale_bits[column] = 0x7e00u;
    } else if (size != 0u) {
      let largest = select(-bitcast<f32>(size), bitcast<f32>(size), bitcast<u32>(top) == size);
      scale_bits[column] = float_to_half(bitcast<u32>(choose_scale(&numbers, largest)));
    }
    if ((scale_bits[column] & 0x7c00u) == 0x7c00u) {
      atomicStore(&not_finite[p.tensor], 1u);
    }
    let scale = bitcast<f32>(half_to_float(scale_bits[column]));
    let inverse = select(0.0, 1.0 / scale, (scale_bits[column] & 0x7fffu) != 0u);
    for (var i = 0u; i < QUADS; i++) {
      let q = vec4<i32>(quantize(numbers[i], inverse));
      if (BITS == 8u) {
        words[i] |= (bitcast<vec4<u32>>(q) & vec4<u32>(255u)) << vec4<u32>(8u * column);
      } else {
        words[i] |= (bitcast<vec4<u32>>(q + 8) & vec4<u32>(15u)) << vec4<u32>(4u * column);
      }
    }
    // With minimums, four bits count from zero.
    if (BITS == 4u) {
      minimum_bits[column] = float_to_half(bitcast<u32>(-8.0 * scale));
    }
  }
  store_scales(id.y, column4, scale_bits, minimum_bits);
  for (var i = 0u; i < QUADS; i++) {
    if (first + 4u * i < p.depth) {
      store_quad(first / 4u + i, column4, words[i]);
    }
  }
}
