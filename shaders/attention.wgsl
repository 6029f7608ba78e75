// attention: y = softmax(scale q k' + bias + mask) v, the portable kernel: a workgroup owns 32 queries of a head.
//   q [B, N, H, D]   k, v [B, Nk, H, D]   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP; scores are never stored: the softmax is kept up while blocks of keys pass by. A row of LANES lanes owns four
// queries. First a lane scores KEYS keys for the four; the row agrees on their highest score, and shares the weights in workgroup
// memory; then a lane sums QUADS quads of the head over all keys of the block. Bindings: attention_common.wgsl.

const_assert LANES * QUADS >= HEAD_WIDTH4;

const BLOCK = LANES * KEYS;
const ROWS = 8u;

var<workgroup> highest_of_lane: array<vec4<f32>, LANES * ROWS>;
var<workgroup> weights: array<vec4<f32>, BLOCK * ROWS>;

@compute @workgroup_size(LANES, ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let sample = group.y / p.heads;
  let head = group.y % p.heads;
  let first_query = (group.x * ROWS + local.y) * 4u;
  let query = min(vec4<u32>(0u, 1u, 2u, 3u) + first_query, vec4<u32>(p.queries - 1u));
  let q_at = p.q_offset + (sample * p.queries + query) * p.q_stride + head * HEAD_WIDTH4;
  let k_at = p.k_offset + sample * p.keys * p.k_stride + head * HEAD_WIDTH4;
  let v_at = p.v_offset + sample * p.keys * p.v_stride + head * HEAD_WIDTH4;

  var sums: array<array<vec4<f32>, 4>, QUADS>;
  var highest = vec4<f32>(LOWEST); // of each query
  var total = vec4<f32>(0.0); // of the weights of this lane's keys
  for (var first_key = 0u; first_key < p.keys; first_key += BLOCK) {
    var scores = array<vec4<f32>, KEYS>();
    for (var d = 0u; d < HEAD_WIDTH4; d++) {
      let q0 = q[q_at.x + d];
      let q1 = q[q_at.y + d];
      let q2 = q[q_at.z + d];
      let q3 = q[q_at.w + d];
      for (var i = 0u; i < KEYS; i++) {
        let b = k[k_at + min(first_key + i * LANES + local.x, p.keys - 1u) * p.k_stride + d];
        scores[i] += vec4<f32>(dot(q0, b), dot(q1, b), dot(q2, b), dot(q3, b));
      }
    }
    var higher = highest;
    for (var i = 0u; i < KEYS; i++) {
      let key = first_key + i * LANES + local.x;
      scores[i] *= p.scale;
      if (HAS_MASK || HAS_BIAS) {
        let at = min(key, p.keys - 1u);
        scores[i] += vec4<f32>(
          added(sample, head, query.x, at),
          added(sample, head, query.y, at),
          added(sample, head, query.z, at),
          added(sample, head, query.w, at),
        );
      }
      higher = select(higher, max(higher, scores[i]), key < p.keys);
    }
    highest_of_lane[local.x * ROWS + local.y] = higher;
    workgroupBarrier();
    for (var lane = 0u; lane < LANES; lane++) {
      higher = max(higher, highest_of_lane[lane * ROWS + local.y]);
    }
    let shrink = exp(highest - higher);
    highest = higher;
    total *= shrink;
    for (var i = 0u; i < KEYS; i++) {
      let inside = first_key + i * LANES + local.x < p.keys;
      let weight = select(vec4<f32>(0.0), exp(scores[i] - highest), inside);
      weights[(i * LANES + local.x) * ROWS + local.y] = weight;
      total += weight;
    }
    workgroupBarrier();
    for (var c = 0u; c < QUADS; c++) {
      for (var r = 0u; r < 4u; r++) {
        sums[c][r] *= shrink[r];
      }
    }
    let count = min(BLOCK, p.keys - first_key);
    for (var j = 0u; j < count; j++) {
      let weight = weights[j * ROWS + local.y];
      let row_at = v_at + (first_key + j) * p.v_stride;
      for (var c = 0u; c < QUADS; c++) {
        let value = v[row_at + min(c * LANES + local.x, HEAD_WIDTH4 - 1u)];
        for (var r = 0u; r < 4u; r++) {
          sums[c][r] = fma(vec4<f32>(weight[r]), value, sums[c][r]);
        }
      }
    }
  }

  workgroupBarrier();
  highest_of_lane[local.x * ROWS + local.y] = total;
  workgroupBarrier();
  total = vec4<f32>(0.0);
  for (var lane = 0u; lane < LANES; lane++) {
    total += highest_of_lane[lane * ROWS + local.y];
  }
  for (var r = 0u; r < 4u; r++) {
    let out = ((sample * p.queries + first_query + r) * p.heads + head) * HEAD_WIDTH4;
    for (var c = 0u; c < QUADS; c++) {
      let d = c * LANES + local.x;
      if (first_query + r < p.queries && d < HEAD_WIDTH4) {
        y[out + d] = sums[c][r] / total[r];
      }
    }
  }
}
