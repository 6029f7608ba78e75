// Where the small integers of a block lie; appended to the kernels that make them. Quads of k and columns are contiguous: with 8 bits
// a word a k has its four columns from the low byte on; with 4 bits a word has two k, the first in the low half. `values` and `scales`
// are bound in pairs of words.

// Stores what the four k of a quad have of the columns 4 * column4 .. + 3.
fn store_quad(quad: u32, column4: u32, words: vec4<u32>) {
  let at = quad * p.columns4 + column4;
  if (BITS == 8u) {
    values[at * 2u] = words.xy;
    values[at * 2u + 1u] = words.zw;
  } else {
    values[at] = words.xz | (words.yw << vec2<u32>(16u));
  }
}

// Stores the scales of a block's four columns, as bits of halves, and their minimums where the weight has them.
fn store_scales(block: u32, column4: u32, scale: vec4<u32>, minimum: vec4<u32>) {
  let at = block * p.columns4 + column4;
  let four_scales = scale.xz | (scale.yw << vec2<u32>(16u));
  if (p.with_minimum == 0u) {
    scales[at] = four_scales;
    return;
  }
  scales[at * 2u] = four_scales;
  scales[at * 2u + 1u] = minimum.xz | (minimum.yw << vec2<u32>(16u));
}
