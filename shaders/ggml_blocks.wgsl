// ggml's block formats, group by group: GROUP elements that share a scale, BLOCK_GROUPS of them in a block of BLOCK_BYTES. An
// element is scale * value + minimum. Appended to kernels that read blocks; `at` is where a block begins, in bytes.

const Q8_0 = 0u;
const Q5_0 = 1u;
const Q5_1 = 2u;
const Q4_0 = 3u;
const Q4_1 = 4u;
const Q2_K = 5u;
const Q3_K = 6u;
const Q4_K = 7u;
const Q5_K = 8u;
const Q6_K = 9u;

fn byte(at: u32) -> u32 {
  return (raw[at / 4u] >> (at % 4u * 8u)) & 255u;
}

// Blocks have an even number of bytes, and their halves lie at even places.
fn half_at(at: u32) -> u32 {
  return (raw[at / 4u] >> (at % 4u * 8u)) & 0xffffu;
}

fn float_at(at: u32) -> f32 {
  return bitcast<f32>(half_to_float(half_at(at)));
}

fn signed_byte(at: u32) -> i32 {
  return bitcast<i32>(byte(at) << 24u) >> 24u;
}

// Scale and minimum of a group of Q4_K and Q5_K, six bits each.
fn six_bit_pair(at: u32, group: u32) -> vec2<u32> {
  if (group < 4u) {
    return vec2<u32>(byte(at + group), byte(at + group + 4u)) & vec2<u32>(63u);
  }
  let low = byte(at + group + 4u);
  return vec2<u32>((low & 15u) | ((byte(at + group - 4u) >> 6u) << 4u), (low >> 4u) | ((byte(at + group) >> 6u) << 4u));
}

fn group_scale(at: u32, group: u32) -> f32 {
  if (KIND == Q2_K) {
    return float_at(at + 80u) * f32(byte(at + group) & 15u);
  }
  if (KIND == Q3_K) {
    let low = (byte(at + 96u + (group & 7u)) >> (group / 8u * 4u)) & 15u;
    let high = (byte(at + 104u + (group & 3u)) >> (group / 4u * 2u)) & 3u;
    return float_at(at + 108u) * f32(i32(low | (high << 4u)) - 32);
  }
  if (KIND == Q4_K || KIND == Q5_K) {
    return float_at(at) * f32(six_bit_pair(at + 4u, group).x);
  }
  if (KIND == Q6_K) {
    return float_at(at + 208u) * f32(signed_byte(at + 192u + group));
  }
  return float_at(at);
}

fn group_minimum(at: u32, group: u32) -> f32 {
  if (KIND == Q5_1 || KIND == Q4_1) {
    return float_at(at + 2u);
  }
  if (KIND == Q2_K) {
    return -float_at(at + 82u) * f32(byte(at + group) >> 4u);
  }
  if (KIND == Q4_K || KIND == Q5_K) {
    return -float_at(at + 2u) * f32(six_bit_pair(at + 4u, group).y);
  }
  return 0.0;
}

// Element `i` of a group.
fn group_value(at: u32, group: u32, i: u32) -> i32 {
  if (KIND == Q8_0) {
    return signed_byte(at + 2u + i);
  }
  if (KIND == Q4_0 || KIND == Q4_1) {
    let bits = i32((byte(at + select(2u, 4u, KIND == Q4_1) + (i & 15u)) >> (i / 16u * 4u)) & 15u);
    return bits - select(8, 0, KIND == Q4_1);
  }
  if (KIND == Q5_0 || KIND == Q5_1) {
    let high = at + select(2u, 4u, KIND == Q5_1);
    let fifth = (byte(high + i / 8u) >> (i & 7u)) & 1u;
    let bits = i32(((byte(high + 4u + (i & 15u)) >> (i / 16u * 4u)) & 15u) | (fifth << 4u));
    return bits - select(16, 0, KIND == Q5_1);
  }
  if (KIND == Q4_K || KIND == Q5_K) {
    let low = at + select(16u, 48u, KIND == Q5_K) + group / 2u * 32u;
    let bits = (byte(low + i) >> ((group & 1u) * 4u)) & 15u;
    if (KIND == Q5_K) {
      return i32(bits | (((byte(at + 16u + i) >> group) & 1u) << 4u));
    }
    return i32(bits);
  }
  // The others have groups of 16, two bits of each element four to a byte, in halves of 128 elements.
  let shift = ((group / 2u) & 3u) * 2u;
  let column = (group & 1u) * 16u + i;
  if (KIND == Q2_K) {
    return i32((byte(at + 16u + group / 8u * 32u + column) >> shift) & 3u);
  }
  if (KIND == Q3_K) {
    let third = (byte(at + column) >> (group / 2u)) & 1u;
    return i32(((byte(at + 32u + group / 8u * 32u + column) >> shift) & 3u) | (third << 2u)) - 4;
  }
  let low = byte(at + group / 8u * 64u + ((group / 2u) & 1u) * 32u + column) >> (((group / 4u) & 1u) * 4u);
  let high = byte(at + 128u + group / 8u * 32u + column) >> shift;
  return i32((low & 15u) | ((high & 3u) << 4u)) - 32;
}
