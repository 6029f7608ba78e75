// pack_weight_wide: what pack_weight.wgsl does, for linear layers whose rows are whole fours: four k of four columns an invocation.
//   raw [rows, depth] in pairs of words   ->   out [depth, 4 * columns4], from column `offset` on, a multiple of 4
// Bound by memory: reads raw once, writes out once, both in pieces of at least 8 bytes, where pack_weight.wgsl goes by single words.
// Numbers that are not finite as the type of out are noted. Reading: checkpoint_floats.wgsl, half_bits.wgsl.

struct Params { rows: u32, depth: u32, columns4: u32, offset: u32, tensor: u32 }

@group(0) @binding(0) var<storage, read> raw: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> not_finite: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let exponent = vec4<u32>(select(0x7f800000u, 0x7c00u, TO_HALF));
  if (id.x * 4u >= p.rows || id.y * 4u >= p.depth) {
    return;
  }
  var columns = array<vec4<u32>, 4>(); // four k of each; beyond the rows zero
  for (var i = 0u; i < 4u; i++) {
    let row = id.x * 4u + i;
    if (row < p.rows) {
      let elements = four_elements(row * (p.depth / 4u) + id.y);
      if (TO_HALF) {
        columns[i] = as_halves(elements);
      } else {
        columns[i] = as_floats(elements);
      }
      if (any((columns[i] & exponent) == exponent)) {
        atomicStore(&not_finite[p.tensor], 1u);
      }
    }
  }
  for (var k = 0u; k < 4u; k++) {
    let at = (id.y * 4u + k) * p.columns4 + p.offset / 4u + id.x;
    let four = vec4<u32>(columns[0][k], columns[1][k], columns[2][k], columns[3][k]);
    if (TO_HALF) {
      packed[at] = four.xz | (four.yw << vec2<u32>(16u));
    } else {
      packed[2u * at] = four.xy;
      packed[2u * at + 1u] = four.zw;
    }
  }
}
