// workgroup_max: the highest number of a workgroup of WORKERS invocations (a power of two), known to all of them.
// Appended to kernels that reduce. Called in uniform control flow only.

var<workgroup> partial_tops: array<f32, WORKERS>;

fn workgroup_max(value: f32, worker: u32) -> f32 {
  partial_tops[worker] = value;
  for (var half = WORKERS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (worker < half) {
      partial_tops[worker] = max(partial_tops[worker], partial_tops[worker + half]);
    }
  }
  workgroupBarrier();
  let top = partial_tops[0];
  workgroupBarrier(); // before the next call overwrites it
  return top;
}
