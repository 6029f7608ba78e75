// Halves and floats as bits, for the kernels that bring checkpoints to the GPU. All is integer arithmetic, so that no driver may flush a
// denormal or round its own way.

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
