// weight4: four neighbouring weights as f32, from weights stored as halves two to a word, which needs no shader-f16.
// stored4 is the way back; beyond the largest half a number becomes it. Appended to kernels that read or make weights.

alias WeightVec = vec2<u32>;

fn weight4(w: WeightVec) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}

fn stored4(value: vec4<f32>) -> WeightVec {
  let half = clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return WeightVec(pack2x16float(half.xy), pack2x16float(half.zw));
}
