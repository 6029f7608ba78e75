// weight4: four neighbouring weights as f32, from weights stored as f32. Appended to kernels that read weights.

alias WeightVec = vec4<f32>;

fn weight4(w: WeightVec) -> vec4<f32> {
  return w;
}
