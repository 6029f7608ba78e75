// solver_prediction: what the model says of one element, and the prediction m made of it, before it is clipped. Appended to the
// kernels of a solver step, whose `output` holds the C channels of x and possibly more, and `answers` times the samples.

// The model's guided output `skipped` elements behind the place of element i, which are 0 for the prediction itself.
fn solver_output(i: u32, skipped: u32) -> f32 {
  let b = i / p.item;
  let place = i - b * p.item + skipped;
  let at = b * p.output_item + place;
  let answer = (p.total / p.item) * p.output_item;
  if (place >= p.guided) {
    return output[at + (p.answers - 1u) * answer];
  }
  let first = output[at];
  var value = first;
  if (p.answers > 1u) {
    value += p.guidance1 * (output[at + answer] - first);
  }
  if (p.answers > 2u) {
    value += p.guidance2 * (output[at + 2u * answer] - first);
  }
  return value;
}

fn solver_prediction(sample: f32, model_output: f32) -> f32 {
  return p.convert_sample * sample + p.convert_output * model_output;
}
