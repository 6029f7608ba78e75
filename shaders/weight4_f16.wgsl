// weight4: four neighbouring weights as f32, from weights stored as halves two to a word, which needs no shader-f16.
// Appended to kernels that read weights.

alias WeightVec = vec2<u32>;

fn weight4(w: WeightVec) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
