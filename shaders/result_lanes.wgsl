// result: what a kernel over rows makes, as it is. Appended to kernels that work in Lanes.

alias Result = Lanes;

fn result(v: Lanes) -> Result {
  return v;
}
