// attention: y = softmax(scale q k' + bias + mask) v, the portable kernel: every lane owns one query, or its part of the head.
//   q [B, N, H, D]   k, v [B, Nk, H, D]   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP; the scores are never stored: the softmax is kept up while keys pass by, four at a time. All lanes of
// a row of the workgroup read the same keys, which is what a GPU's cache is for. Wide heads are split over PARTS rows of lanes,
// which add up their parts of the scores in workgroup memory. Bindings: attention_common.wgsl.

const_assert WIDTH4 * PARTS >= HEAD_WIDTH4;

alias Element = vec4<f32>;

var<workgroup> partial: array<vec4<f32>, LANES * PARTS>;

// Quad i of this lane's part of the head, or one of the last part where the head ends earlier.
fn place(first: u32, i: u32) -> u32 {
  return min(first + i, HEAD_WIDTH4 - 1u);
}

@compute @workgroup_size(LANES, PARTS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let sample = group.y / p.heads;
  let head = group.y % p.heads;
  let query = group.x * LANES + local.x;
  let first = local.y * WIDTH4;
  let q_at = p.q_offset + (sample * p.queries + min(query, p.queries - 1u)) * p.q_stride + head * HEAD_WIDTH4;
  let k_at = p.k_offset + sample * p.keys * p.k_stride + head * HEAD_WIDTH4;
  let v_at = p.v_offset + sample * p.keys * p.v_stride + head * HEAD_WIDTH4;

  var own: array<vec4<f32>, WIDTH4>;
  var sums: array<vec4<f32>, WIDTH4>;
  for (var i = 0u; i < WIDTH4; i++) {
    let inside = select(0.0, p.scale, first + i < HEAD_WIDTH4);
    own[i] = q[q_at + place(first, i)] * inside;
  }
  var highest = LOWEST;
  var total = 0.0;
  for (var key = 0u; key < p.keys; key += 4u) {
    var at: vec4<u32> = min(vec4<u32>(key, key + 1u, key + 2u, key + 3u), vec4<u32>(p.keys - 1u));
    let keys_at = k_at + at * p.k_stride;
    let values_at = v_at + at * p.v_stride;
    var scores = vec4<f32>(0.0);
    for (var i = 0u; i < WIDTH4; i++) {
      let d = place(first, i);
      scores += vec4<f32>(
        dot(own[i], k[keys_at.x + d]),
        dot(own[i], k[keys_at.y + d]),
        dot(own[i], k[keys_at.z + d]),
        dot(own[i], k[keys_at.w + d]),
      );
    }
    if (PARTS > 1u) {
      partial[local.y * LANES + local.x] = scores;
      workgroupBarrier();
      scores = vec4<f32>(0.0);
      for (var part = 0u; part < PARTS; part++) {
        scores += partial[part * LANES + local.x];
      }
      workgroupBarrier();
    }
    scores = with_bias(scores, sample, head, min(query, p.queries - 1u), key);
    let higher = max(highest, highest_of(scores));
    let shrink = exp(highest - higher);
    let weights = weights_of(scores, higher, key);
    highest = higher;
    total = total * shrink + dot(weights, vec4<f32>(1.0));
    for (var i = 0u; i < WIDTH4; i++) {
      let d = place(first, i);
      sums[i] = fma(vec4<f32>(weights.x), v[values_at.x + d], sums[i] * shrink);
      sums[i] = fma(vec4<f32>(weights.y), v[values_at.y + d], sums[i]);
      sums[i] = fma(vec4<f32>(weights.z), v[values_at.z + d], sums[i]);
      sums[i] = fma(vec4<f32>(weights.w), v[values_at.w + d], sums[i]);
    }
  }
  if (query < p.queries) {
    let out = ((sample * p.queries + query) * p.heads + head) * HEAD_WIDTH4;
    for (var i = 0u; i < WIDTH4; i++) {
      if (first + i < HEAD_WIDTH4) {
        y[out + first + i] = sums[i] / total;
      }
    }
  }
}
