// attention: y = softmax(scale q k' + bias + mask) v, the portable kernel: a workgroup owns 32 queries of a head.
//   q [B, N, H, D]   k, v [B, Nk, H, D]   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP; at most a block of scores is stored: the softmax is kept up while blocks of keys pass by. A row of LANES lanes
// owns four queries. First a lane scores KEYS keys for the four and leaves the scores in workgroup memory, then it sums QUADS quads
// of the head over all keys of the block. Bindings: attention_common.wgsl.

const BLOCK = LANES * KEYS;
const ROWS = 8u;

var<workgroup> scores: array<vec4<f32>, BLOCK * ROWS>; // of four queries

@compute @workgroup_size(LANES, ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let sample = group.y / p.heads;
  let head = group.y % p.heads;
  let first_query = (group.x * ROWS + local.y) * 4u;
  let query = min(vec4<u32>(0u, 1u, 2u, 3u) + first_query, vec4<u32>(p.queries - 1u));
  let q_at = p.q_offset + (sample * p.queries + query) * p.q_stride + head * p.quads;
  let k_at = p.k_offset + sample * p.keys * p.k_stride + head * p.quads;
  let v_at = p.v_offset + sample * p.keys * p.v_stride + head * p.quads;

  var sums = array<array<vec4<f32>, 4>, QUADS>();
  var highest = vec4<f32>(LOWEST); // score of each query
  var total = vec4<f32>(0.0); // of the weights of each query
  for (var first_key = 0u; first_key < p.keys; first_key += BLOCK) {
    var own = array<vec4<f32>, KEYS>();
    for (var d = 0u; d < p.quads; d++) {
      let q0 = q[q_at.x + d];
      let q1 = q[q_at.y + d];
      let q2 = q[q_at.z + d];
      let q3 = q[q_at.w + d];
      for (var i = 0u; i < KEYS; i++) {
        let b = k[k_at + min(first_key + i * LANES + local.x, p.keys - 1u) * p.k_stride + d];
        own[i] += vec4<f32>(dot(q0, b), dot(q1, b), dot(q2, b), dot(q3, b));
      }
    }
    for (var i = 0u; i < KEYS; i++) {
      let j = i * LANES + local.x;
      scores[j * ROWS + local.y] = own[i] * p.scale;
    }
    if (p.flags != 0u) {
      let end = min(BLOCK, p.keys - first_key);
      for (var j = local.x; j < end; j += LANES) {
        for (var r = 0u; r < 4u; r++) {
          scores[j * ROWS + local.y][r] += added(sample, head, query[r], first_key + j);
        }
      }
    }
    workgroupBarrier();
    let count = min(BLOCK, p.keys - first_key);
    var higher = highest;
    for (var j = 0u; j < count; j++) {
      higher = max(higher, scores[j * ROWS + local.y]);
    }
    let shrink = exp(highest - higher);
    highest = higher;
    total *= shrink;
    for (var c = 0u; c < QUADS; c++) {
      for (var r = 0u; r < 4u; r++) {
        sums[c][r] *= shrink[r];
      }
    }
    for (var j = 0u; j < count; j++) {
      let weight = exp(scores[j * ROWS + local.y] - highest);
      total += weight;
      let row_at = v_at + (first_key + j) * p.v_stride;
      for (var c = 0u; c < QUADS; c++) {
        let value = v[row_at + min(c * LANES + local.x, p.quads - 1u)];
        for (var r = 0u; r < 4u; r++) {
          sums[c][r] = fma(vec4<f32>(weight[r]), value, sums[c][r]);
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    let out = (sample * p.queries + first_query + r) * p.heads + head;
    for (var c = 0u; c < QUADS; c++) {
      let d = c * LANES + local.x;
      if (first_query + r < p.queries && d < p.quads) {
        y[out * p.quads + d] = sums[c][r] / total[r];
      }
    }
    if (first_query + r < p.queries && local.x == 0u) {
      log_sums[out] = highest[r] + log(total[r]);
    }
  }
}
