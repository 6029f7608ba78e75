// solver_prediction: what the model says of one element, and the prediction m made of it, before it is clipped. Appended to the
// kernels of a solver step, whose `output` holds the C channels of x and possibly more, and twice the samples under guidance.

// The model's guided output `skipped` elements behind the place of element i, which are 0 for the prediction itself.
fn solver_output(i: u32, skipped: u32) -> f32 {
  let b = i / p.item;
  let at = b * p.output_item + (i - b * p.item) + skipped;
  var value = output[at];
  if (p.guided != 0u) {
    let conditioned = output[at + (p.total / p.item) * p.output_item];
    value += p.guidance * (conditioned - value);
  }
  return value;
}

fn solver_prediction(sample: f32, model_output: f32) -> f32 {
  return p.convert_sample * sample + p.convert_output * model_output;
}
