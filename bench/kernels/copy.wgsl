// copy: what the memory of this device can do at most.
//   x [N] vec4   ->   y [N] vec4
// One vector an invocation; reads x once, writes y once. Bound by memory.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.y * groups.x * 256u + id.x;
  y[i] = x[i];
}
