// weight4: four neighbouring weights as f32, from weights stored as f32. stored4 is the way back. Appended to kernels that
// read or make weights.

alias WeightVec = vec4<f32>;

fn weight4(w: WeightVec) -> vec4<f32> {
  return w;
}

fn stored4(value: vec4<f32>) -> WeightVec {
  return value;
}
