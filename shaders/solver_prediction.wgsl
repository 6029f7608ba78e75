// solver_prediction: the prediction m of one element, before it is clipped, from the model's raw output. Appended to the kernels
// of a solver step, whose `output` holds the C channels of x and possibly more, and twice the samples under guidance.

fn solver_prediction(i: u32, sample: f32) -> f32 {
  let b = i / p.item;
  let at = b * p.output_item + (i - b * p.item);
  var prediction = output[at];
  if (p.guided != 0u) {
    let conditioned = output[at + (p.total / p.item) * p.output_item];
    prediction += p.guidance * (conditioned - prediction);
  }
  return p.convert_sample * sample + p.convert_output * prediction;
}
