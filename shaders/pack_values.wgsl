// Where the small integers of a block lie; appended to the kernels that make them. Quads of k and columns are contiguous: with 8 bits
// a word a k has its four columns from the low byte on; with 4 bits a word has two k, the first in the low half.

// Stores what `count` k from `first` on, a multiple of four, have of the columns 4 * column4 .. + 3.
fn store_values(first: u32, count: u32, column4: u32, words: ptr<function, array<u32, LONGEST>>) {
  for (var i = 0u; i < count; i += 4u) {
    let quad = (first + i) / 4u * p.columns4 + column4;
    if (BITS == 8u) {
      for (var k = 0u; k < 4u; k++) {
        values[quad * 4u + k] = (*words)[i + k];
      }
    } else {
      values[quad * 2u] = (*words)[i] | ((*words)[i + 1u] << 16u);
      values[quad * 2u + 1u] = (*words)[i + 2u] | ((*words)[i + 3u] << 16u);
    }
  }
}

// Stores the scales of a block's four columns, as bits of halves, and their minimums where the weight has them.
fn store_scales(block: u32, column4: u32, scale: vec4<u32>, minimum: vec4<u32>) {
  let at = block * p.columns4 + column4;
  if (p.with_minimum == 0u) {
    scales[at * 2u] = scale.x | (scale.y << 16u);
    scales[at * 2u + 1u] = scale.z | (scale.w << 16u);
    return;
  }
  scales[at * 4u] = scale.x | (scale.y << 16u);
  scales[at * 4u + 1u] = scale.z | (scale.w << 16u);
  scales[at * 4u + 2u] = minimum.x | (minimum.y << 16u);
  scales[at * 4u + 3u] = minimum.z | (minimum.w << 16u);
}
