// attention: y = softmax(q k' + bias + mask) v on tensor cores: subgroup matrices of halves with sums in f32.
//   q [B, N, H, D]   k, v [B, Nk, H, D] halves, D at most DEPTH   ->   y [B, N, H, D]
// 4 B H N Nk D FLOP. A subgroup owns two fragments of queries, an upper and a lower one, and takes keys in blocks of two fragments,
// which the workgroup shares. Scores pass through workgroup memory, where a lane owns a row of them, become weights 2^(score -
// highest) in halves and come back as fragments: scores are in units of log 2. Sums of values, which no lane can reach inside their
// fragments, are scaled seldom: `highest` of a query follows its scores only when they rise by more than SLACK. What should be in
// registers has names. Bindings: attention_halves.wgsl. Fragments: attention_fragments.wgsl. Blocks of keys: attention_blocks.wgsl.
// Softmax: attention_rows.wgsl.

const ROWS = 2u * MATRIX_M; // queries of a subgroup
const BLOCK = 2u * MATRIX_N; // keys at a time
const STEPS = DEPTH / MATRIX_K; // of the product with keys
const COLUMNS = DEPTH / MATRIX_N; // fragments of the sums of values
const THREADS = SUBGROUP_SIZE * SUBGROUPS;

// Rows in workgroup memory are an odd number of 16 bytes apart, so that they lie in different banks.
const STRIDE = BLOCK / 4u + 1u; // a row of scores; weights take half of it
const ROW8 = DEPTH / 8u; // a row of q, k or v in 8 halves
const STEP8 = MATRIX_K / 8u;
const COLUMN8 = MATRIX_N / 8u;

const_assert DEPTH % MATRIX_K == 0u && DEPTH % MATRIX_N == 0u && MATRIX_K % 8u == 0u && MATRIX_N % 8u == 0u;
const_assert STEPS <= 9u && COLUMNS <= 9u;
const_assert (BLOCK == MATRIX_K || BLOCK == 2u * MATRIX_K) && (BLOCK == 16u || BLOCK == 32u);
const_assert ROWS <= 2u * SUBGROUP_SIZE;

alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Result = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

// A step over the heads of all queries, or over the weights of a part of the keys.
struct Factor { upper: Left, lower: Left }

// Sums of values, a fragment of columns.
struct Sum { upper: Result, lower: Result }

// Scores of a block.
struct Tile { upper0: Result, upper1: Result, lower0: Result, lower1: Result }

// Of each subgroup, rows of scores as floats, then of weights as halves. The loads of a subgroup begin with a place in the outer array
// and have constant offsets and strides: else compilers that guard loads would make a choice of every stride.
var<workgroup> scratch: array<array<vec4<u32>, ROWS * STRIDE>, SUBGROUPS>;
var<workgroup> factors: array<f32, SUBGROUPS * ROWS>; // of the sums of each query
var<workgroup> risen: u32; // whether scores rose too far above `highest` of some query

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let lane = index % SUBGROUP_SIZE;
  let subgroup = index / SUBGROUP_SIZE;
  let head = group.y % p.heads;
  let sample = group.y / p.heads;
  let first_query = (group.x * SUBGROUPS + subgroup) * ROWS;
  let q_at = p.q_offset + sample * p.q_sample + head * p.q_head + first_query * p.q_stride;
  let place = Place(
    p.k_offset + sample * p.k_sample + head * p.k_head,
    p.v_offset + sample * p.v_sample + head * p.v_head,
    index,
  );
  // The rows that a lane owns; lanes beyond the rows do the last one's work again.
  let own0 = min(lane, ROWS - 1u);
  let own1 = min(lane + SUBGROUP_SIZE, ROWS - 1u);

  let query0 = load_factor(q_at);
  var query1 = query0;
  if (STEPS > 1u) {
    query1 = load_factor(q_at + STEP8);
  }
  var query2 = query0;
  if (STEPS > 2u) {
    query2 = load_factor(q_at + 2u * STEP8);
  }
  var query3 = query0;
  if (STEPS > 3u) {
    query3 = load_factor(q_at + 3u * STEP8);
  }
  var query4 = query0;
  if (STEPS > 4u) {
    query4 = load_factor(q_at + 4u * STEP8);
  }
  var query5 = query0;
  if (STEPS > 5u) {
    query5 = load_factor(q_at + 5u * STEP8);
  }
  var query6 = query0;
  if (STEPS > 6u) {
    query6 = load_factor(q_at + 6u * STEP8);
  }
  var query7 = query0;
  if (STEPS > 7u) {
    query7 = load_factor(q_at + 7u * STEP8);
  }
  var query8 = query0;
  if (STEPS > 8u) {
    query8 = load_factor(q_at + 8u * STEP8);
  }
  var sum0 = Sum(Result(), Result());
  var sum1 = Sum(Result(), Result());
  var sum2 = Sum(Result(), Result());
  var sum3 = Sum(Result(), Result());
  var sum4 = Sum(Result(), Result());
  var sum5 = Sum(Result(), Result());
  var sum6 = Sum(Result(), Result());
  var sum7 = Sum(Result(), Result());
  var sum8 = Sum(Result(), Result());
  var row0: Row;
  var row1: Row;
  var next = fetch_block(place, 0u);
  keep_block(next, 0u, index);
  keep_mask(sample, 0u, 0u, index);
  next = fetch_block(place, BLOCK);
  workgroupBarrier();
  for (var first_key = 0u; first_key < p.keys; first_key += BLOCK) {
    let buffer = first_key / BLOCK % 2u;
    var tile = Tile(Result(), Result(), Result(), Result());
    tile = add_step(tile, query0, buffer, 0u);
    if (STEPS > 1u) {
      tile = add_step(tile, query1, buffer, STEP8);
    }
    if (STEPS > 2u) {
      tile = add_step(tile, query2, buffer, 2u * STEP8);
    }
    if (STEPS > 3u) {
      tile = add_step(tile, query3, buffer, 3u * STEP8);
    }
    if (STEPS > 4u) {
      tile = add_step(tile, query4, buffer, 4u * STEP8);
    }
    if (STEPS > 5u) {
      tile = add_step(tile, query5, buffer, 5u * STEP8);
    }
    if (STEPS > 6u) {
      tile = add_step(tile, query6, buffer, 6u * STEP8);
    }
    if (STEPS > 7u) {
      tile = add_step(tile, query7, buffer, 7u * STEP8);
    }
    if (STEPS > 8u) {
      tile = add_step(tile, query8, buffer, 8u * STEP8);
    }
    store_sum(Sum(tile.upper0, tile.lower0), subgroup, 0u);
    store_sum(Sum(tile.upper1, tile.lower1), subgroup, MATRIX_N / 4u);
    workgroupBarrier(); // and all are done with the block before

    keep_block(next, 1u - buffer, index);
    keep_mask(sample, first_key + BLOCK, 1u - buffer, index);
    next = fetch_block(place, first_key + 2u * BLOCK);
    let read0 = read_scores(row0, subgroup, own0, first_query + own0, head, first_key);
    var read1 = row1;
    if (ROWS > SUBGROUP_SIZE) {
      read1 = read_scores(row1, subgroup, own1, first_query + own1, head, first_key);
    }
    row0 = soften(read0, subgroup, own0, first_key);
    if (ROWS > SUBGROUP_SIZE) {
      row1 = soften(read1, subgroup, own1, first_key);
    }
    if (rises(read0) || (ROWS > SUBGROUP_SIZE && rises(read1))) {
      risen = 1u;
    }
    if (workgroupUniformLoad(&risen) != 0u) {
      // Seldom: what was summed shrinks to the highest scores so far, and this block is softened again.
      let raised0 = raise(read0);
      factors[subgroup * ROWS + own0] = raised0.shrink;
      var raised1 = read1;
      if (ROWS > SUBGROUP_SIZE) {
        raised1 = raise(read1);
        factors[subgroup * ROWS + own1] = raised1.shrink;
      }
      sum0 = scale(sum0, subgroup, lane);
      if (COLUMNS > 1u) {
        sum1 = scale(sum1, subgroup, lane);
      }
      if (COLUMNS > 2u) {
        sum2 = scale(sum2, subgroup, lane);
      }
      if (COLUMNS > 3u) {
        sum3 = scale(sum3, subgroup, lane);
      }
      if (COLUMNS > 4u) {
        sum4 = scale(sum4, subgroup, lane);
      }
      if (COLUMNS > 5u) {
        sum5 = scale(sum5, subgroup, lane);
      }
      if (COLUMNS > 6u) {
        sum6 = scale(sum6, subgroup, lane);
      }
      if (COLUMNS > 7u) {
        sum7 = scale(sum7, subgroup, lane);
      }
      if (COLUMNS > 8u) {
        sum8 = scale(sum8, subgroup, lane);
      }
      workgroupBarrier();
      risen = 0u;
      row0 = soften(raised0, subgroup, own0, first_key);
      if (ROWS > SUBGROUP_SIZE) {
        row1 = soften(raised1, subgroup, own1, first_key);
      }
      workgroupBarrier();
    }

    let weights0 = load_weights(subgroup, 0u);
    let weights1 = load_weights(subgroup, (BLOCK - MATRIX_K) / 8u);
    sum0 = add_values(sum0, weights0, weights1, buffer, 0u);
    if (COLUMNS > 1u) {
      sum1 = add_values(sum1, weights0, weights1, buffer, COLUMN8);
    }
    if (COLUMNS > 2u) {
      sum2 = add_values(sum2, weights0, weights1, buffer, 2u * COLUMN8);
    }
    if (COLUMNS > 3u) {
      sum3 = add_values(sum3, weights0, weights1, buffer, 3u * COLUMN8);
    }
    if (COLUMNS > 4u) {
      sum4 = add_values(sum4, weights0, weights1, buffer, 4u * COLUMN8);
    }
    if (COLUMNS > 5u) {
      sum5 = add_values(sum5, weights0, weights1, buffer, 5u * COLUMN8);
    }
    if (COLUMNS > 6u) {
      sum6 = add_values(sum6, weights0, weights1, buffer, 6u * COLUMN8);
    }
    if (COLUMNS > 7u) {
      sum7 = add_values(sum7, weights0, weights1, buffer, 7u * COLUMN8);
    }
    if (COLUMNS > 8u) {
      sum8 = add_values(sum8, weights0, weights1, buffer, 8u * COLUMN8);
    }
  }

  factors[subgroup * ROWS + own0] = 1.0 / row0.total;
  keep_log_sum(row0, sample, first_query + own0, head);
  if (ROWS > SUBGROUP_SIZE) {
    factors[subgroup * ROWS + own1] = 1.0 / row1.total;
    keep_log_sum(row1, sample, first_query + own1, head);
  }
  store_column(sum0, subgroup, lane, sample, first_query, head, 0u);
  if (COLUMNS > 1u) {
    store_column(sum1, subgroup, lane, sample, first_query, head, 1u);
  }
  if (COLUMNS > 2u) {
    store_column(sum2, subgroup, lane, sample, first_query, head, 2u);
  }
  if (COLUMNS > 3u) {
    store_column(sum3, subgroup, lane, sample, first_query, head, 3u);
  }
  if (COLUMNS > 4u) {
    store_column(sum4, subgroup, lane, sample, first_query, head, 4u);
  }
  if (COLUMNS > 5u) {
    store_column(sum5, subgroup, lane, sample, first_query, head, 5u);
  }
  if (COLUMNS > 6u) {
    store_column(sum6, subgroup, lane, sample, first_query, head, 6u);
  }
  if (COLUMNS > 7u) {
    store_column(sum7, subgroup, lane, sample, first_query, head, 7u);
  }
  if (COLUMNS > 8u) {
    store_column(sum8, subgroup, lane, sample, first_query, head, 8u);
  }
}
