// widen_blocks: ggml blocks become f32, exactly.
//   raw: `groups` groups of GROUP elements, in blocks   ->   wide [groups * GROUP]
// Bound by memory: writes 4 bytes an element. Formats: ggml_blocks.wgsl; conversions: half_bits.wgsl.

struct Params { groups: u32 }

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> wide: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
  if (index >= p.groups) {
    return;
  }
  let at = index / BLOCK_GROUPS * BLOCK_BYTES;
  let group = index % BLOCK_GROUPS;
  let scale = group_scale(at, group);
  let minimum = group_minimum(at, group);
  for (var i = 0u; i < GROUP; i++) {
    wide[index * GROUP + i] = fma(scale, f32(group_value(at, group, i)), minimum);
  }
}
