// workgroup_max: the highest number of a workgroup that is a single subgroup, known to all of it.
// Appended to kernels that reduce. Called in uniform control flow only.

fn workgroup_max(value: f32, worker: u32) -> f32 {
  return subgroupMax(value);
}
