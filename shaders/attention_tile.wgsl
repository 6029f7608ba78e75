// attention: y = softmax(scale q k' + bias + mask) v, for GPUs: keys pass through workgroup memory.
//   q [B, N, H, D]   k, v [B, Nk, H, D], D at most 128   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP. A workgroup owns 4 FOURS GY queries of a head; its lanes are 8 by GY. Of a block of 32 keys a lane makes the
// scores of 4 FOURS queries for 4 keys, 8 apart, then their sums of values for every eighth quad of the head; weights pass through
// workgroup memory in between, values come from where they lie, since all lanes of a row want the same. Nothing in registers is
// indexed by a loop: some compilers would move it to memory. Bindings: attention_common.wgsl.

const_assert FOURS == 1u || FOURS == 2u;
const_assert QUADS <= 32u;

const BLOCK = 32u;
const STRIDE = QUADS | 1u; // odd, so that keys lie in different banks

alias Quads = array<vec4<f32>, 4>; // of four queries, keys or columns

// What a lane knows of four queries.
struct Four {
  scores: Quads, // a vector a key, a number a query
  sums: array<vec4<f32>, 16>, // four queries by 4 quads of the head
  highest: vec4<f32>,
  total: vec4<f32>, // of this lane's weights
}

var<workgroup> keys: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> weights: array<vec4<f32>, BLOCK * GY * FOURS>; // of four queries
var<workgroup> partial: array<vec4<f32>, 8u * GY * FOURS>; // what each of 8 lanes knows of four queries

// The first four of the 4 FOURS queries of a lane; others follow GY quads later.
fn queries_of(first: u32) -> vec4<u32> {
  return first + vec4<u32>(0u, 1u, 2u, 3u);
}

// Adds a quad of the head to the scores of four queries.
fn add_scores(four: ptr<function, Four>, at: vec4<u32>, b: Quads) {
  let a = Quads(q[at.x], q[at.y], q[at.z], q[at.w]);
  (*four).scores[0] += vec4<f32>(dot(a[0], b[0]), dot(a[1], b[0]), dot(a[2], b[0]), dot(a[3], b[0]));
  (*four).scores[1] += vec4<f32>(dot(a[0], b[1]), dot(a[1], b[1]), dot(a[2], b[1]), dot(a[3], b[1]));
  (*four).scores[2] += vec4<f32>(dot(a[0], b[2]), dot(a[1], b[2]), dot(a[2], b[2]), dot(a[3], b[2]));
  (*four).scores[3] += vec4<f32>(dot(a[0], b[3]), dot(a[1], b[3]), dot(a[2], b[3]), dot(a[3], b[3]));
}

// Scales the scores of a key, adds what is added, and hides a key that there is not.
fn finish(score: vec4<f32>, sample: u32, head: u32, query: vec4<u32>, key: u32) -> vec4<f32> {
  var value = score * p.scale;
  if (p.flags != 0u) {
    let known = min(key, p.keys - 1u);
    value.x += added(sample, head, query.x, known);
    value.y += added(sample, head, query.y, known);
    value.z += added(sample, head, query.z, known);
    value.w += added(sample, head, query.w, known);
  }
  return select(vec4<f32>(LOWEST), value, key < p.keys);
}

fn finish_all(four: ptr<function, Four>, sample: u32, head: u32, first: u32, key: u32) -> vec4<f32> {
  let query = min(queries_of(first), vec4<u32>(p.queries - 1u));
  (*four).scores[0] = finish((*four).scores[0], sample, head, query, key);
  (*four).scores[1] = finish((*four).scores[1], sample, head, query, key + 8u);
  (*four).scores[2] = finish((*four).scores[2], sample, head, query, key + 16u);
  (*four).scores[3] = finish((*four).scores[3], sample, head, query, key + 24u);
  return max(max((*four).scores[0], (*four).scores[1]), max((*four).scores[2], (*four).scores[3]));
}

// Makes weights of scores, and shrinks what was summed to the highest score so far.
fn soften(four: ptr<function, Four>, at: u32, row: u32, inside: vec4<bool>) {
  var higher = (*four).highest;
  for (var i = 0u; i < 8u; i++) {
    higher = max(higher, partial[row * 8u + i]);
  }
  let shrink = exp((*four).highest - higher);
  (*four).highest = higher;
  let w0 = select(vec4<f32>(), exp((*four).scores[0] - higher), inside.x);
  let w1 = select(vec4<f32>(), exp((*four).scores[1] - higher), inside.y);
  let w2 = select(vec4<f32>(), exp((*four).scores[2] - higher), inside.z);
  let w3 = select(vec4<f32>(), exp((*four).scores[3] - higher), inside.w);
  (*four).total = (*four).total * shrink + ((w0 + w1) + (w2 + w3));
  weights[at] = w0;
  weights[at + 8u * GY * FOURS] = w1;
  weights[at + 16u * GY * FOURS] = w2;
  weights[at + 24u * GY * FOURS] = w3;
  (*four).sums[0] *= shrink.x;
  (*four).sums[1] *= shrink.y;
  (*four).sums[2] *= shrink.z;
  (*four).sums[3] *= shrink.w;
  (*four).sums[4] *= shrink.x;
  (*four).sums[5] *= shrink.y;
  (*four).sums[6] *= shrink.z;
  (*four).sums[7] *= shrink.w;
  (*four).sums[8] *= shrink.x;
  (*four).sums[9] *= shrink.y;
  (*four).sums[10] *= shrink.z;
  (*four).sums[11] *= shrink.w;
  (*four).sums[12] *= shrink.x;
  (*four).sums[13] *= shrink.y;
  (*four).sums[14] *= shrink.z;
  (*four).sums[15] *= shrink.w;
}

// Adds the values of a key to the sums of four queries.
fn add_values(four: ptr<function, Four>, weight: vec4<f32>, b: Quads) {
  (*four).sums[0] = fma(weight.xxxx, b[0], (*four).sums[0]);
  (*four).sums[1] = fma(weight.yyyy, b[0], (*four).sums[1]);
  (*four).sums[2] = fma(weight.zzzz, b[0], (*four).sums[2]);
  (*four).sums[3] = fma(weight.wwww, b[0], (*four).sums[3]);
  if (QUADS > 8u) {
    (*four).sums[4] = fma(weight.xxxx, b[1], (*four).sums[4]);
    (*four).sums[5] = fma(weight.yyyy, b[1], (*four).sums[5]);
    (*four).sums[6] = fma(weight.zzzz, b[1], (*four).sums[6]);
    (*four).sums[7] = fma(weight.wwww, b[1], (*four).sums[7]);
  }
  if (QUADS > 16u) {
    (*four).sums[8] = fma(weight.xxxx, b[2], (*four).sums[8]);
    (*four).sums[9] = fma(weight.yyyy, b[2], (*four).sums[9]);
    (*four).sums[10] = fma(weight.zzzz, b[2], (*four).sums[10]);
    (*four).sums[11] = fma(weight.wwww, b[2], (*four).sums[11]);
  }
  if (QUADS > 24u) {
    (*four).sums[12] = fma(weight.xxxx, b[3], (*four).sums[12]);
    (*four).sums[13] = fma(weight.yyyy, b[3], (*four).sums[13]);
    (*four).sums[14] = fma(weight.zzzz, b[3], (*four).sums[14]);
    (*four).sums[15] = fma(weight.wwww, b[3], (*four).sums[15]);
  }
}

// Every eighth quad of a value, as many as the head has.
fn value_quads(at: u32, lane: u32) -> Quads {
  var b = Quads();
  b[0] = v[at + min(lane, QUADS - 1u)];
  if (QUADS > 8u) {
    b[1] = v[at + min(lane + 8u, QUADS - 1u)];
  }
  if (QUADS > 16u) {
    b[2] = v[at + min(lane + 16u, QUADS - 1u)];
  }
  if (QUADS > 24u) {
    b[3] = v[at + min(lane + 24u, QUADS - 1u)];
  }
  return b;
}

fn store_quads(out: u32, lane: u32, factor: f32, sum0: vec4<f32>, sum1: vec4<f32>, sum2: vec4<f32>, sum3: vec4<f32>) {
  if (lane < QUADS) {
    y[out + lane] = sum0 * factor;
  }
  if (lane + 8u < QUADS) {
    y[out + lane + 8u] = sum1 * factor;
  }
  if (lane + 16u < QUADS) {
    y[out + lane + 16u] = sum2 * factor;
  }
  if (lane + 24u < QUADS) {
    y[out + lane + 24u] = sum3 * factor;
  }
}

// Writes what four queries found; `row` is where the lanes have left their totals.
fn store(four: ptr<function, Four>, sample: u32, head: u32, first: u32, row: u32, lane: u32) {
  var total = vec4<f32>();
  for (var i = 0u; i < 8u; i++) {
    total += partial[row * 8u + i];
  }
  let factor = 1.0 / total;
  let log_sum = (*four).highest + log(total);
  let out = (sample * p.queries + queries_of(first)) * p.heads + head;
  let known = queries_of(first) < vec4<u32>(p.queries);
  if (known.x) {
    store_quads(out.x * QUADS, lane, factor.x, (*four).sums[0], (*four).sums[4], (*four).sums[8], (*four).sums[12]);
    log_sums[out.x] = log_sum.x; // all lanes have the same
  }
  if (known.y) {
    store_quads(out.y * QUADS, lane, factor.y, (*four).sums[1], (*four).sums[5], (*four).sums[9], (*four).sums[13]);
    log_sums[out.y] = log_sum.y;
  }
  if (known.z) {
    store_quads(out.z * QUADS, lane, factor.z, (*four).sums[2], (*four).sums[6], (*four).sums[10], (*four).sums[14]);
    log_sums[out.z] = log_sum.z;
  }
  if (known.w) {
    store_quads(out.w * QUADS, lane, factor.w, (*four).sums[3], (*four).sums[7], (*four).sums[11], (*four).sums[15]);
    log_sums[out.w] = log_sum.w;
  }
}

@compute @workgroup_size(8, GY)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let sample = group.y / p.heads;
  let head = group.y % p.heads;
  let first0 = group.x * GY * FOURS * 4u + local.y * 4u;
  let first1 = first0 + GY * 4u;
  let last = vec4<u32>(p.queries - 1u);
  let q_at0 = p.q_offset + (sample * p.queries + min(queries_of(first0), last)) * p.q_stride + head * QUADS;
  let q_at1 = p.q_offset + (sample * p.queries + min(queries_of(first1), last)) * p.q_stride + head * QUADS;
  let k_at = p.k_offset + sample * p.keys * p.k_stride + head * QUADS;
  let v_at = p.v_offset + sample * p.keys * p.v_stride + head * QUADS;

  var four0 = Four();
  var four1 = Four();
  four0.highest = vec4<f32>(LOWEST);
  four1.highest = vec4<f32>(LOWEST);
  for (var first_key = 0u; first_key < p.keys; first_key += BLOCK) {
    for (var i = index; i < BLOCK * QUADS; i += 8u * GY) {
      keys[i / QUADS * STRIDE + i % QUADS] = k[k_at + min(first_key + i / QUADS, p.keys - 1u) * p.k_stride + i % QUADS];
    }
    workgroupBarrier();
    four0.scores = Quads();
    four1.scores = Quads();
    for (var d = 0u; d < p.quads; d++) {
      let at = local.x * STRIDE + d;
      let b = Quads(keys[at], keys[at + 8u * STRIDE], keys[at + 16u * STRIDE], keys[at + 24u * STRIDE]);
      add_scores(&four0, q_at0 + d, b);
      if (FOURS > 1u) {
        add_scores(&four1, q_at1 + d, b);
      }
    }
    let key = first_key + local.x;
    partial[local.y * 8u + local.x] = finish_all(&four0, sample, head, first0, key);
    if (FOURS > 1u) {
      partial[(local.y + GY) * 8u + local.x] = finish_all(&four1, sample, head, first1, key);
    }
    workgroupBarrier();
    let inside = key + vec4<u32>(0u, 8u, 16u, 24u) < vec4<u32>(p.keys);
    let weights_at = local.x * GY * FOURS + local.y;
    soften(&four0, weights_at, local.y, inside);
    if (FOURS > 1u) {
      soften(&four1, weights_at + GY, local.y + GY, inside);
    }
    workgroupBarrier();
    let count = min(BLOCK, p.keys - first_key);
    for (var j = 0u; j < count; j++) {
      let b = value_quads(v_at + (first_key + j) * p.v_stride, local.x);
      add_values(&four0, weights[j * GY * FOURS + local.y], b);
      if (FOURS > 1u) {
        add_values(&four1, weights[j * GY * FOURS + local.y + GY], b);
      }
    }
  }
  partial[local.y * 8u + local.x] = four0.total;
  if (FOURS > 1u) {
    partial[(local.y + GY) * 8u + local.x] = four1.total;
  }
  workgroupBarrier();
  store(&four0, sample, head, first0, local.y, local.x);
  if (FOURS > 1u) {
    store(&four1, sample, head, first1, local.y + GY, local.x);
  }
}
