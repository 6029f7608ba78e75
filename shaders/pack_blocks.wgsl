// pack_blocks: rows of ggml blocks become columns of a weight in blocks of small integers, value by value; nothing is rounded but
// products of two scales, to halves.
//   raw [rows, depth] in blocks   ->   values, scales as in matmul_int8.wgsl and matmul_int4.wgsl, from column `offset` on
// One invocation moves a group of four neighbouring columns. Bound by memory: reads a word an element, most of them from the cache.
// Formats: ggml_blocks.wgsl; conversions: half_bits.wgsl; layout: pack_values.wgsl.

struct Params { rows: u32, depth: u32, columns4: u32, offset: u32, with_minimum: u32, tensor: u32 }

@group(0) @binding(0) var<storage, read> raw: array<u32>;
@group(0) @binding(1) var<storage, read_write> values: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> not_finite: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column4 = p.offset / 4u + id.x;
  if (id.x * 4u >= p.rows || id.y * GROUP >= p.depth) {
    return;
  }
  let block = id.y / BLOCK_GROUPS;
  let group = id.y % BLOCK_GROUPS;
  let row_blocks = p.depth / (GROUP * BLOCK_GROUPS);
  // Without minimums, four bits count from -8.
  let first_value = select(0, 8, BITS == 4u && p.with_minimum == 0u);
  let mask = vec4<u32>((1u << BITS) - 1u);
  var words = array<vec4<u32>, GROUP / 4u>();
  var scale_bits = vec4<u32>();
  var minimum_bits = vec4<u32>();
  for (var column = 0u; column < min(4u, p.rows - id.x * 4u); column++) {
    let at = ((id.x * 4u + column) * row_blocks + block) * BLOCK_BYTES;
    scale_bits[column] = float_to_half(bitcast<u32>(group_scale(at, group)));
    minimum_bits[column] = float_to_half(bitcast<u32>(group_minimum(at, group)));
    if ((scale_bits[column] & 0x7c00u) == 0x7c00u || (minimum_bits[column] & 0x7c00u) == 0x7c00u) {
      atomicStore(&not_finite[p.tensor], 1u);
    }
    for (var i = 0u; i < GROUP; i += 4u) {
      let four = vec4<i32>(
        group_value(at, group, i),
        group_value(at, group, i + 1u),
        group_value(at, group, i + 2u),
        group_value(at, group, i + 3u),
      );
      words[i / 4u] |= (bitcast<vec4<u32>>(four + first_value) & mask) << vec4<u32>(BITS * column);
    }
  }
  store_scales(id.y, column4, scale_bits, minimum_bits);
  for (var i = 0u; i < GROUP / 4u; i++) {
    store_quad(id.y * GROUP / 4u + i, column4, words[i]);
  }
}
