// Numbers of a checkpoint's weight, four at a time, whatever their type. Appended with half_bits.wgsl to kernels that bind `raw`, in
// pairs of words, the first element in the lowest bits.

const SOURCE_F32 = 0u;
const SOURCE_F16 = 1u;

// Bits of elements 4 * i .. + 3.
fn four_elements(i: u32) -> vec4<u32> {
  if (SOURCE == SOURCE_F32) {
    return vec4<u32>(raw[2u * i], raw[2u * i + 1u]);
  }
  let pairs = raw[i];
  return vec4<u32>(pairs.x & 0xffffu, pairs.x >> 16u, pairs.y & 0xffffu, pairs.y >> 16u);
}

// Bits of the floats that elements stand for; exact.
fn as_floats(bits: vec4<u32>) -> vec4<u32> {
  if (SOURCE == SOURCE_F32) {
    return bits;
  }
  if (SOURCE == SOURCE_F16) {
    return vec4<u32>(half_to_float(bits.x), half_to_float(bits.y), half_to_float(bits.z), half_to_float(bits.w));
  }
  return bits << vec4<u32>(16u);
}

// Bits of the halves that are nearest to elements.
fn as_halves(bits: vec4<u32>) -> vec4<u32> {
  if (SOURCE == SOURCE_F16) {
    return bits;
  }
  let floats = as_floats(bits);
  return vec4<u32>(
    float_to_half(floats.x),
    float_to_half(floats.y),
    float_to_half(floats.z),
    float_to_half(floats.w),
  );
}
