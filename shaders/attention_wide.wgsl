// attention: y = softmax(scale q k' + bias + mask) v, for wide CPUs that pose as GPUs: a subgroup of 8 lanes owns 16 queries.
//   q [B, N, H, D]   k, v [B, Nk, H, D], D at most 32 PARTS   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP, as two products like matmul_wide.wgsl for each block of 32 keys: first a lane owns 4 keys and sums over the
// head, then it owns 4 columns of a part of the head and sums over the keys; the weights pass from lane to lane, not through memory.
// There a load costs as much as 60 multiply-adds: a step of the first product makes 6 for 256 of them, of the second 4 for 256. More
// queries would need fewer loads, but twice the code runs 1.1 times as fast and takes an old lavapipe five times as long to compile.
// Where a part has less than 5 quads of columns, lanes that would idle take other keys, and what they find is added in the end.
// What is indexed by numbers that are not known to the compiler goes through memory, lane by lane: so rows are spelled out, or in
// loops that it unrolls, and parts are picked with select. Steps: wide_rows.wgsl. Bindings: attention_common.wgsl.

const ROWS = 16u;

const_assert PARTS >= 1u && PARTS <= 4u;

alias Rows = array<vec4<f32>, ROWS>; // queries by 4 keys, or by 4 columns of the head
alias Column = array<f32, ROWS>; // a number for each query

// For each part of the head, what the values come to.
struct Sums {
  part0: Rows,
  part1: Rows,
  part2: Rows,
  part3: Rows,
}

// Of the softmax so far: the highest score, the sum of this lane's weights, and how much older sums shrink.
struct Softmax {
  highest: Column,
  total: Column,
  shrink: Column,
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

// Adds the values of 4 keys, whose weights are with lane `from_lane`, to the sums of 8 queries.
fn add_values(sums: ptr<function, Rows>, weights: ptr<function, Rows>, row: u32, from_lane: u32, b: Steps) {
  (*sums)[row + 0u] = advance_row((*sums)[row + 0u], subgroupShuffle((*weights)[row + 0u], from_lane), b);
  (*sums)[row + 1u] = advance_row((*sums)[row + 1u], subgroupShuffle((*weights)[row + 1u], from_lane), b);
  (*sums)[row + 2u] = advance_row((*sums)[row + 2u], subgroupShuffle((*weights)[row + 2u], from_lane), b);
  (*sums)[row + 3u] = advance_row((*sums)[row + 3u], subgroupShuffle((*weights)[row + 3u], from_lane), b);
  (*sums)[row + 4u] = advance_row((*sums)[row + 4u], subgroupShuffle((*weights)[row + 4u], from_lane), b);
  (*sums)[row + 5u] = advance_row((*sums)[row + 5u], subgroupShuffle((*weights)[row + 5u], from_lane), b);
  (*sums)[row + 6u] = advance_row((*sums)[row + 6u], subgroupShuffle((*weights)[row + 6u], from_lane), b);
  (*sums)[row + 7u] = advance_row((*sums)[row + 7u], subgroupShuffle((*weights)[row + 7u], from_lane), b);
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

// Turns the scores of 8 queries into weights.
fn soften(scores: ptr<function, Rows>, row: u32, softmax: ptr<function, Softmax>, extra: ptr<function, Rows>, inside: vec4<bool>) {
  for (var r = row; r < row + 8u; r++) {
    let score = select(vec4<f32>(LOWEST), (*scores)[r] * p.scale + (*extra)[r], inside);
    let before = (*softmax).highest[r];
    var higher = max(max(score.x, score.y), max(score.z, score.w));
    higher = max(higher, subgroupShuffleXor(higher, 1u));
    higher = max(higher, subgroupShuffleXor(higher, 2u));
    higher = max(before, max(higher, subgroupShuffleXor(higher, 4u)));
    let weight = select(vec4<f32>(0.0), exp(score - higher), inside);
    let shrink = exp(before - higher);
    (*softmax).shrink[r] = shrink;
    (*softmax).highest[r] = higher;
    (*softmax).total[r] = (*softmax).total[r] * shrink + dot(weight, vec4<f32>(1.0));
    (*scores)[r] = weight;
  }
}

// What there is of a row in a part of the head.
fn pick(sums: ptr<function, Sums>, part: u32, r: u32) -> vec4<f32> {
  var sum = (*sums).part0[r];
  if (PARTS > 1u) {
    sum = select(sum, (*sums).part1[r], part == 1u);
  }
  if (PARTS > 2u) {
    sum = select(sum, (*sums).part2[r], part == 2u);
  }
  if (PARTS > 3u) {
    sum = select(sum, (*sums).part3[r], part == 3u);
  }
  return sum;
}

// Takes 8 rows of a part out, as they are after the last block of keys.
fn take(tile: ptr<function, Rows>, row: u32, sums: ptr<function, Sums>, part: u32, softmax: ptr<function, Softmax>) {
  for (var r = row; r < row + 8u; r++) {
    (*tile)[r] = pick(sums, part, r) * (*softmax).shrink[r];
  }
}

// Puts 8 rows of a part back.
fn put(tile: ptr<function, Rows>, row: u32, sums: ptr<function, Sums>, part: u32) {
  for (var r = row; r < row + 8u; r++) {
    (*sums).part0[r] = select((*sums).part0[r], (*tile)[r], part == 0u);
    if (PARTS > 1u) {
      (*sums).part1[r] = select((*sums).part1[r], (*tile)[r], part == 1u);
    }
    if (PARTS > 2u) {
      (*sums).part2[r] = select((*sums).part2[r], (*tile)[r], part == 2u);
    }
    if (PARTS > 3u) {
      (*sums).part3[r] = select((*sums).part3[r], (*tile)[r], part == 3u);
    }
  }
}

// How many lanes it takes for the columns of a part, as a power of two; the next so many lanes take other keys.
fn span_of(part: u32) -> u32 {
  let quads = p.quads - part * 8u;
  return select(select(select(8u, 4u, quads <= 4u), 2u, quads <= 2u), 1u, quads <= 1u);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var at: Place;
  at.sample = group.y / p.heads;
  at.head = group.y % p.heads;
  at.first_query = group.x * ROWS;
  at.lane = lane;
  at.q_at = p.q_offset + at.sample * p.queries * p.q_stride + at.head * p.quads;
  at.k_at = p.k_offset + at.sample * p.keys * p.k_stride + at.head * p.quads;
  at.v_at = p.v_offset + at.sample * p.keys * p.v_stride + at.head * p.quads;

  var softmax = Softmax();
  for (var r = 0u; r < ROWS; r++) {
    softmax.highest[r] = LOWEST;
  }
  var sums = Sums();
  // The number of rows is known late: so loops to it stay loops.
  let count = min(ROWS, p.queries - group.x * ROWS);
  for (var first_key = 0u; first_key < p.keys; first_key += 32u) {
    let key = first_key + lane * 4u;
    let keys = vec4<u32>(key, key + 1u, key + 2u, key + 3u);
    let inside = keys < vec4<u32>(p.keys);
    var w = Rows();
    for (var d = 0u; d < p.quads; d++) {
      let k0 = key_quad(at, key, d);
      let k1 = key_quad(at, key + 1u, d);
      let k2 = key_quad(at, key + 2u, d);
      let k3 = key_quad(at, key + 3u, d);
      let b = Steps(
        vec4<f32>(k0.x, k1.x, k2.x, k3.x),
        vec4<f32>(k0.y, k1.y, k2.y, k3.y),
        vec4<f32>(k0.z, k1.z, k2.z, k3.z),
        vec4<f32>(k0.w, k1.w, k2.w, k3.w),
      );
      advance_rows(&w, 0u, query_quad(at, 0u, d), b);
      advance_rows(&w, 8u, query_quad(at, 1u, d), b);
    }
    let known = min(keys, vec4<u32>(p.keys - 1u));
    let hidden = vec4<f32>(
      hidden_by(at.sample, known.x),
      hidden_by(at.sample, known.y),
      hidden_by(at.sample, known.z),
      hidden_by(at.sample, known.w),
    );
    var extra: Rows;
    for (var r = 0u; r < ROWS; r++) {
      extra[r] = hidden;
    }
    if ((p.flags & WITH_BIAS) != 0u) {
      for (var r = 0u; r < count; r++) {
        let query = at.first_query + r;
        extra[r] += vec4<f32>(
          bias_of(at.head, query, known.x),
          bias_of(at.head, query, known.y),
          bias_of(at.head, query, known.z),
          bias_of(at.head, query, known.w),
        );
      }
    }
    soften(&w, 0u, &softmax, &extra, inside);
    soften(&w, 8u, &softmax, &extra, inside);
    // One part of the head after the other, in a loop: its code is long, and would be compiled once a part.
    for (var part = 0u; part * 8u < p.quads; part++) {
      let span = span_of(part);
      let shares = 8u / span; // of the keys
      let d = min(part * 8u + lane % span, p.quads - 1u);
      var a: Rows;
      take(&a, 0u, &sums, part, &softmax);
      take(&a, 8u, &sums, part, &softmax);
      let steps = (min(8u, (p.keys - first_key + 3u) / 4u) + shares - 1u) / shares;
      for (var i = 0u; i < steps; i++) {
        let from_lane = i * shares + lane / span;
        let at_key = first_key + from_lane * 4u;
        let b = Steps(
          value_quad(at, at_key, d),
          value_quad(at, at_key + 1u, d),
          value_quad(at, at_key + 2u, d),
          value_quad(at, at_key + 3u, d),
        );
        add_values(&a, &w, 0u, from_lane, b);
        add_values(&a, &w, 8u, from_lane, b);
      }
      put(&a, 0u, &sums, part);
      put(&a, 8u, &sums, part);
    }
  }

  for (var r = 0u; r < count; r++) {
    var total = softmax.total[r];
    total += subgroupShuffleXor(total, 1u);
    total += subgroupShuffleXor(total, 2u);
    total += subgroupShuffleXor(total, 4u);
    let out = (at.sample * p.queries + at.first_query + r) * p.heads + at.head;
    for (var part = 0u; part * 8u < p.quads; part++) {
      let span = span_of(part);
      var sum = pick(&sums, part, r);
      sum += select(vec4<f32>(), subgroupShuffleXor(sum, 4u), span <= 4u);
      sum += select(vec4<f32>(), subgroupShuffleXor(sum, 2u), span <= 2u);
      sum += select(vec4<f32>(), subgroupShuffleXor(sum, 1u), span <= 1u);
      let d = part * 8u + lane;
      if (d < p.quads) {
        y[out * p.quads + d] = sum / total;
      }
    }
    log_sums[out] = softmax.highest[r] + log(total); // all lanes have the same
  }
}
