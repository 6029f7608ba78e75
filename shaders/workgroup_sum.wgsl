// workgroup_sum: the sum over a workgroup of WORKERS invocations (a power of two), known to all of them.
// Appended to kernels that reduce. Called in uniform control flow only.

const_assert 0u == (WORKERS & (WORKERS - 1u));

var<workgroup> partial_sums: array<f32, WORKERS>;

fn workgroup_sum(value: f32, worker: u32) -> f32 {
  partial_sums[worker] = value;
  for (var half = WORKERS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (worker < half) {
      partial_sums[worker] += partial_sums[worker + half];
    }
  }
  workgroupBarrier();
  let sum = partial_sums[0];
  workgroupBarrier(); // before the next call overwrites it
  return sum;
}
