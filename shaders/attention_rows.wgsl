// Rows of scores for attention_matrix.wgsl: what a lane does with those that it owns, from scores to weights.
// Scores, masks and biases are in units of log 2.

const SLACK = 11.0; // 2^11 is far below the largest half
const LOG2_E = 1.4426950408889634;

// What a lane knows of a query. Scores are of a block; the last four quads are there where it has 32 keys.
struct Row {
  scores0: vec4<f32>,
  scores1: vec4<f32>,
  scores2: vec4<f32>,
  scores3: vec4<f32>,
  scores4: vec4<f32>,
  scores5: vec4<f32>,
  scores6: vec4<f32>,
  scores7: vec4<f32>,
  top: f32, // of these
  highest: f32, // what weights refer to
  shrink: f32, // of what was summed, when that was changed
  total: f32, // of all weights
}

var<workgroup> masks: array<array<vec4<f32>, BLOCK / 4u>, 2>; // of a block and the next one

// Lays the mask of a block of keys where all lanes find it.
fn keep_mask(sample: u32, first_key: u32, buffer: u32, index: u32) {
  if (HAS_MASK && index < BLOCK / 4u) {
    let at = (p.first_sample + sample) * p.keys + first_key + index * 4u;
    let hidden = vec4<f32>(mask[at], mask[at + 1u], mask[at + 2u], mask[at + 3u]);
    masks[buffer][index] = max(hidden, vec4<f32>(LOWEST / LOG2_E)) * LOG2_E;
  }
}

// Whether each of 4 keys exists.
fn inside(key: u32) -> vec4<bool> {
  return vec4<u32>(key, key + 1u, key + 2u, key + 3u) < vec4<u32>(p.keys);
}

// Scores of 4 keys with all that is added to them.
fn score_quad(subgroup: u32, row: u32, quad: u32, query: u32, head: u32, first_key: u32) -> vec4<f32> {
  var value = bitcast<vec4<f32>>(scratch[subgroup][row * STRIDE + quad]) * p.scale;
  if (HAS_MASK) {
    value += masks[first_key / BLOCK % 2u][quad];
  }
  if (HAS_BIAS) {
    let at = head * (p.queries + p.keys - 1u) + first_key + quad * 4u + p.queries - 1u - min(query, p.queries - 1u);
    let bias = vec4<f32>(relative_bias[at], relative_bias[at + 1u], relative_bias[at + 2u], relative_bias[at + 3u]);
    value += bias * LOG2_E;
  }
  if (first_key + BLOCK > p.keys) {
    return select(vec4<f32>(LOWEST), value, inside(first_key + quad * 4u));
  }
  return value;
}

fn read_scores(known: Row, subgroup: u32, row: u32, query: u32, head: u32, first_key: u32) -> Row {
  var own = known;
  own.scores0 = score_quad(subgroup, row, 0u, query, head, first_key);
  own.scores1 = score_quad(subgroup, row, 1u, query, head, first_key);
  own.scores2 = score_quad(subgroup, row, 2u, query, head, first_key);
  own.scores3 = score_quad(subgroup, row, 3u, query, head, first_key);
  var top = max(max(own.scores0, own.scores1), max(own.scores2, own.scores3));
  if (BLOCK > 16u) {
    own.scores4 = score_quad(subgroup, row, 4u, query, head, first_key);
    own.scores5 = score_quad(subgroup, row, 5u, query, head, first_key);
    own.scores6 = score_quad(subgroup, row, 6u, query, head, first_key);
    own.scores7 = score_quad(subgroup, row, 7u, query, head, first_key);
    top = max(top, max(max(own.scores4, own.scores5), max(own.scores6, own.scores7)));
  }
  own.top = max(max(top.x, top.y), max(top.z, top.w));
  if (first_key == 0u) {
    own.highest = own.top;
  }
  return own;
}

// Whether scores rose so far that weights could leave the range of halves.
fn rises(own: Row) -> bool {
  return own.top > own.highest + SLACK;
}

// Takes the highest score so far for what weights refer to.
fn raise(known: Row) -> Row {
  var own = known;
  own.highest = max(own.highest, own.top);
  own.shrink = exp2(known.highest - own.highest);
  own.total *= own.shrink;
  return own;
}

// Writes the weights of 8 keys; their sums.
fn weigh(a: vec4<f32>, b: vec4<f32>, highest: f32, subgroup: u32, at: u32, key: u32, first_key: u32) -> vec4<f32> {
  var weight_a = exp2(a - highest);
  var weight_b = exp2(b - highest);
  if (first_key + BLOCK > p.keys) {
    weight_a = select(vec4<f32>(), weight_a, inside(key));
    weight_b = select(vec4<f32>(), weight_b, inside(key + 4u));
  }
  scratch[subgroup][at] = vec4<u32>(
    pack2x16float(weight_a.xy),
    pack2x16float(weight_a.zw),
    pack2x16float(weight_b.xy),
    pack2x16float(weight_b.zw),
  );
  return weight_a + weight_b;
}

fn soften(known: Row, subgroup: u32, row: u32, first_key: u32) -> Row {
  var own = known;
  let at = row * STRIDE;
  var sum = weigh(own.scores0, own.scores1, own.highest, subgroup, at, first_key, first_key);
  sum += weigh(own.scores2, own.scores3, own.highest, subgroup, at + 1u, first_key + 8u, first_key);
  if (BLOCK > 16u) {
    sum += weigh(own.scores4, own.scores5, own.highest, subgroup, at + 2u, first_key + 16u, first_key);
    sum += weigh(own.scores6, own.scores7, own.highest, subgroup, at + 3u, first_key + 24u, first_key);
  }
  own.total += (sum.x + sum.y) + (sum.z + sum.w);
  return own;
}

fn keep_log_sum(own: Row, sample: u32, query: u32, head: u32) {
  if (query < p.queries) {
    log_sums[(sample * p.queries + query) * p.heads + head] = own.highest / LOG2_E + log(own.total);
  }
}
