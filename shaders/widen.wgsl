// widen: floats of sixteen bits become floats of thirty-two, exactly.
//   raw [ceil(COUNT / 2)] words, the first float in the low bits   ->   out [COUNT]
// A workgroup takes EACH * 64 words, neighbours side by side. Bound by memory: reads 2 bytes a float, writes 4.

const EACH = 8u;

struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> wide: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) worker: u32,
) {
  let first = (id.x + id.y * groups.x) * 64u * EACH + worker;
  for (var j = 0u; j < EACH; j++) {
    let i = first + j * 64u;
    if (2u * i < p.count) {
      let word = raw[i];
      var two: vec2<f32>;
      if (IS_BFLOAT) {
        two = vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
      } else {
        two = unpack2x16float(word);
      }
      wide[2u * i] = two.x;
      if (2u * i + 1u < p.count) {
        wide[2u * i + 1u] = two.y;
      }
    }
  }
}
