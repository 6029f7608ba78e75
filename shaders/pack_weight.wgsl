// pack_weight: rows of a checkpoint become columns of a packed weight, and change their type on the way.
//   raw [rows, inFeatures, taps] in 32-bit words   ->   out [taps * inFeatures, columns], from column `offset` on
// Bound by memory: reads raw once, writes out once. One invocation makes four neighbouring columns of one row of out. Numbers that
// are not finite as the type of out are noted. Conversions: half_bits.wgsl.

const SOURCE_F32 = 0u;
const SOURCE_F16 = 1u;
const SOURCE_BF16 = 2u;

struct Params { rows: u32, in_features: u32, taps: u32, columns: u32, offset: u32, tensor: u32 }

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;
@group(0) @binding(2) var<storage, read_write> not_finite: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

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

fn is_finite(bits: u32) -> bool {
  let exponent = select(0x7f800000u, 0x7c00u, TO_HALF);
  return (bits & exponent) != exponent;
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
      if (!is_finite(four[j])) {
        atomicStore(&not_finite[p.tensor], 1u);
      }
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
