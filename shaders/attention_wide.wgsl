// attention: y = softmax(scale q k' + bias + mask) v, for wide CPUs that pose as GPUs: a subgroup of 8 lanes owns 16 queries.
//   q [B, N, H, D]   k, v [B, Nk, H, D], D at most 128   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP, as two products like matmul_wide.wgsl for each block of 32 keys: first a lane owns 4 keys and sums over the
// head, then it owns 4 columns of the head and sums over the keys; the weights pass from lane to lane, not through memory.
// Every inner loop is short enough for the instruction cache. Bindings: attention_common.wgsl.

const PARTS = 4u; // of 32 columns: the widest head that it takes

alias Tile = array<vec4<f32>, 8>; // 8 queries by 4 keys, or by 4 columns of the head
alias Quads = array<vec4<f32>, 4>; // 4 steps of what is summed over, by 4 keys or columns
alias Sums = array<vec4<f32>, 16u * PARTS>; // for each part, 16 queries by 4 columns
alias Column = array<f32, 8>; // a number for each of 8 queries

fn advance_row(sum: vec4<f32>, a: vec4<f32>, b: Quads) -> vec4<f32> {
  return fma(a.wwww, b[3], fma(a.zzzz, b[2], fma(a.yyyy, b[1], fma(a.xxxx, b[0], sum))));
}

// Adds 4 steps over the head to the scores of 8 queries; the quad of query r is with lane r.
fn add_scores(scores: ptr<function, Tile>, a: vec4<f32>, b: Quads) {
  (*scores)[0] = advance_row((*scores)[0], subgroupBroadcast(a, 0u), b);
  (*scores)[1] = advance_row((*scores)[1], subgroupBroadcast(a, 1u), b);
  (*scores)[2] = advance_row((*scores)[2], subgroupBroadcast(a, 2u), b);
  (*scores)[3] = advance_row((*scores)[3], subgroupBroadcast(a, 3u), b);
  (*scores)[4] = advance_row((*scores)[4], subgroupBroadcast(a, 4u), b);
  (*scores)[5] = advance_row((*scores)[5], subgroupBroadcast(a, 5u), b);
  (*scores)[6] = advance_row((*scores)[6], subgroupBroadcast(a, 6u), b);
  (*scores)[7] = advance_row((*scores)[7], subgroupBroadcast(a, 7u), b);
}

// Adds the values of 4 keys, whose weights are with lane `from_lane`, to the sums of 8 queries.
fn add_values(sums: ptr<function, Tile>, weights: ptr<function, Tile>, from_lane: u32, b: Quads) {
  (*sums)[0] = advance_row((*sums)[0], subgroupShuffle((*weights)[0], from_lane), b);
  (*sums)[1] = advance_row((*sums)[1], subgroupShuffle((*weights)[1], from_lane), b);
  (*sums)[2] = advance_row((*sums)[2], subgroupShuffle((*weights)[2], from_lane), b);
  (*sums)[3] = advance_row((*sums)[3], subgroupShuffle((*weights)[3], from_lane), b);
  (*sums)[4] = advance_row((*sums)[4], subgroupShuffle((*weights)[4], from_lane), b);
  (*sums)[5] = advance_row((*sums)[5], subgroupShuffle((*weights)[5], from_lane), b);
  (*sums)[6] = advance_row((*sums)[6], subgroupShuffle((*weights)[6], from_lane), b);
  (*sums)[7] = advance_row((*sums)[7], subgroupShuffle((*weights)[7], from_lane), b);
}

// Where the heads of this workgroup start, in quads.
struct Place {
  sample: u32,
  head: u32,
  first_query: u32,
  lane: u32,
  q_at: u32,
  k_at: u32,
  v_at: u32,
}

fn query_quad(at: Place, tile: u32, d: u32) -> vec4<f32> {
  return q[at.q_at + min(at.first_query + tile * 8u + at.lane, p.queries - 1u) * p.q_stride + d];
}

fn key_quad(at: Place, key: u32, d: u32) -> vec4<f32> {
  return k[at.k_at + min(key, p.keys - 1u) * p.k_stride + d];
}

fn value_quad(at: Place, key: u32, d: u32) -> vec4<f32> {
  return v[at.v_at + min(key, p.keys - 1u) * p.v_stride + d];
}

// Turns scores into weights, and notes the highest score, the sum of this lane's weights, and how much older sums shrink.
fn soften(
  scores: ptr<function, Tile>,
  highest: ptr<function, Column>,
  total: ptr<function, Column>,
  shrink: ptr<function, Column>,
  inside: vec4<bool>,
) {
  for (var r = 0u; r < 8u; r++) {
    let score = select(vec4<f32>(LOWEST), (*scores)[r], inside);
    var higher = max(max(score.x, score.y), max(score.z, score.w));
    higher = max(higher, subgroupShuffleXor(higher, 1u));
    higher = max(higher, subgroupShuffleXor(higher, 2u));
    higher = max((*highest)[r], max(higher, subgroupShuffleXor(higher, 4u)));
    let weight = select(vec4<f32>(0.0), exp(score - higher), inside);
    (*shrink)[r] = exp((*highest)[r] - higher);
    (*highest)[r] = higher;
    (*total)[r] = (*total)[r] * (*shrink)[r] + dot(weight, vec4<f32>(1.0));
    (*scores)[r] = weight;
  }
}

// What the sums of a query are multiplied by in the end: one by the sum of all weights.
fn inverse(total: ptr<function, Column>) {
  for (var r = 0u; r < 8u; r++) {
    var sum = (*total)[r];
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    (*total)[r] = 1.0 / sum;
  }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var at: Place;
  at.sample = group.y / p.heads;
  at.head = group.y % p.heads;
  at.first_query = group.x * 16u;
  at.lane = lane;
  at.q_at = p.q_offset + at.sample * p.queries * p.q_stride + at.head * p.quads;
  at.k_at = p.k_offset + at.sample * p.keys * p.k_stride + at.head * p.quads;
  at.v_at = p.v_offset + at.sample * p.keys * p.v_stride + at.head * p.quads;

  var h0 = Column(LOWEST, LOWEST, LOWEST, LOWEST, LOWEST, LOWEST, LOWEST, LOWEST);
  var h1 = h0;
  var t0 = Column();
  var t1 = Column();
  var sums = Sums();
  var extra = array<vec4<f32>, 16>(); // what mask and bias add to scores
  // Loops to an end that is not known are not unrolled, and what they index stays in memory, not in registers.
  let count = min(16u, p.queries - at.first_query);
  for (var first_key = 0u; first_key < p.keys; first_key += 32u) {
    let key = first_key + lane * 4u;
    var w0 = Tile();
    var w1 = Tile();
    for (var d = 0u; d < p.quads; d++) {
      let k0 = key_quad(at, key, d);
      let k1 = key_quad(at, key + 1u, d);
      let k2 = key_quad(at, key + 2u, d);
      let k3 = key_quad(at, key + 3u, d);
      let b = Quads(
        vec4<f32>(k0.x, k1.x, k2.x, k3.x),
        vec4<f32>(k0.y, k1.y, k2.y, k3.y),
        vec4<f32>(k0.z, k1.z, k2.z, k3.z),
        vec4<f32>(k0.w, k1.w, k2.w, k3.w),
      );
      add_scores(&w0, query_quad(at, 0u, d), b);
      add_scores(&w1, query_quad(at, 1u, d), b);
    }
    if (p.flags != 0u) {
      for (var r = 0u; r < count; r++) {
        for (var i = 0u; i < 4u; i++) {
          extra[r][i] = added(at.sample, at.head, at.first_query + r, min(key + i, p.keys - 1u));
        }
      }
    }
    for (var r = 0u; r < 8u; r++) {
      w0[r] = w0[r] * p.scale + extra[r];
      w1[r] = w1[r] * p.scale + extra[8u + r];
    }
    let inside = vec4<u32>(key, key + 1u, key + 2u, key + 3u) < vec4<u32>(p.keys);
    var shrink0 = Column();
    var shrink1 = Column();
    soften(&w0, &h0, &t0, &shrink0, inside);
    soften(&w1, &h1, &t1, &shrink1, inside);
    // One part of the head after the other, in a loop: its code is long, and would be compiled once a part.
    for (var part = 0u; part * 8u < p.quads; part++) {
      let d = min(part * 8u + lane, p.quads - 1u);
      var a0: Tile;
      var a1: Tile;
      for (var r = 0u; r < 8u; r++) {
        a0[r] = sums[part * 16u + r] * shrink0[r];
        a1[r] = sums[part * 16u + 8u + r] * shrink1[r];
      }
      let steps = min(8u, (p.keys - first_key + 3u) / 4u);
      for (var i = 0u; i < steps; i++) {
        let at_key = first_key + i * 4u;
        let b = Quads(
          value_quad(at, at_key, d),
          value_quad(at, at_key + 1u, d),
          value_quad(at, at_key + 2u, d),
          value_quad(at, at_key + 3u, d),
        );
        add_values(&a0, &w0, i, b);
        add_values(&a1, &w1, i, b);
      }
      for (var r = 0u; r < 8u; r++) {
        sums[part * 16u + r] = a0[r];
        sums[part * 16u + 8u + r] = a1[r];
      }
    }
  }

  inverse(&t0);
  inverse(&t1);
  var factors: array<f32, 16>;
  var logs: array<f32, 16>;
  for (var r = 0u; r < 8u; r++) {
    factors[r] = t0[r];
    factors[8u + r] = t1[r];
    logs[r] = h0[r] - log(t0[r]);
    logs[8u + r] = h1[r] - log(t1[r]);
  }
  for (var r = 0u; r < count; r++) {
    let out = (at.sample * p.queries + at.first_query + r) * p.heads + at.head;
    for (var d = lane; d < p.quads; d += 8u) {
      y[out * p.quads + d] = sums[d / 8u * 16u + r] * factors[r];
    }
    log_sums[out] = logs[r]; // all lanes have the same
  }
}
