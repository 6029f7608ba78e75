// pack_weight: rows of a checkpoint become columns of a packed weight, and change their type on the way.
//   raw [rows, inFeatures, taps] in 32-bit words   ->   out [taps * inFeatures, columns], from column `offset` on
// Bound by memory: reads raw once, writes out once. All conversions are integer arithmetic, so that no driver may flush a
// denormal or round its own way. One invocation makes four neighbouring columns of one row of out.

const SOURCE_F32 = 0u;
const SOURCE_F16 = 1u;
const SOURCE_BF16 = 2u;

struct Params { rows: u32, in_features: u32, taps: u32, columns: u32, offset: u32 }

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

// The bits of the float that a half stands for; exact.
fn half_to_float(bits: u32) -> u32 {
  let sign = (bits & 0x8000u) << 16u;
  let exponent = (bits >> 10u) & 31u;
  let fraction = bits & 1023u;
  if (exponent == 31u) {
    return sign | 0x7f800000u | (fraction << 13u);
  }
  if (exponent > 0u) {
    return sign | ((exponent + 112u) << 23u) | (fraction << 13u);
  }
  if (fraction == 0u) {
    return sign;
  }
  let leading = firstLeadingBit(fraction);
  return sign | ((leading + 103u) << 23u) | ((fraction << (23u - leading)) & 0x7fffffu);
}

// The bits of the half nearest to a float, ties to even.
fn float_to_half(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return sign | 0x7e00u;
  }
  if (size >= 0x477ff000u) { // 65520, half way from the largest half to 65536
    return sign | 0x7c00u;
  }
  if (size >= 0x38800000u) { // 2^-14, the smallest normal half
    return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
  }
  if (size <= 0x33000000u) { // 2^-25, half way from 0 to the smallest half
    return sign;
  }
  let shift = 126u - (size >> 23u);
  let mantissa = (size & 0x7fffffu) | 0x800000u;
  let whole = mantissa >> shift;
  let rest = mantissa - (whole << shift);
  let middle = 1u << (shift - 1u);
  return sign | (whole + select(0u, 1u, rest > middle || (rest == middle && (whole & 1u) == 1u)));
}

// Element `i` of raw in the type of the packed weight.
fn element(i: u32) -> u32 {
  if (SOURCE == SOURCE_F32) {
    let word = raw[i];
    if (TO_HALF) {
      return float_to_half(word);
    }
    return word;
  }
  let bits = (raw[i / 2u] >> ((i & 1u) * 16u)) & 0xffffu;
  if (SOURCE == SOURCE_F16) {
    if (TO_HALF) {
      return bits;
    }
    return half_to_float(bits);
  }
  if (TO_HALF) {
    return float_to_half(bits << 16u);
  }
  return bits << 16u;
}

// What column `column` of row `k` was before: columns to the left of the offset belong to an earlier call.
fn before(k: u32, column: u32) -> u32 {
  let i = k * p.columns + column;
  if (TO_HALF) {
    return (packed[i / 2u] >> ((i & 1u) * 16u)) & 0xffffu;
  }
  return packed[i];
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let k = id.y;
  let column = (p.offset / 4u + id.x) * 4u;
  if (k >= p.taps * p.in_features || column >= p.offset + p.rows) {
    return;
  }
  let tap = k / p.in_features;
  let source = (k - tap * p.in_features) * p.taps + tap;
  var four = vec4<u32>(0u);
  for (var j = 0u; j < 4u; j++) {
    if (column + j < p.offset) {
      four[j] = before(k, column + j);
    } else if (column + j < p.offset + p.rows) {
      four[j] = element((column + j - p.offset) * p.in_features * p.taps + source);
    }
  }
  let i = k * p.columns + column;
  if (TO_HALF) {
    packed[i / 2u] = four.x | (four.y << 16u);
    packed[i / 2u + 1u] = four.z | (four.w << 16u);
  } else {
    packed[i] = four.x;
    packed[i + 1u] = four.y;
    packed[i + 2u] = four.z;
    packed[i + 3u] = four.w;
  }
}
