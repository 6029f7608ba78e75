// What attention_matrix.wgsl does with fragments: loading, multiplying, and their way through workgroup memory.

// A step of the queries. What lies behind the head meets zeros of the keys; what lies behind the last query is not stored.
fn load_factor(at: u32) -> Factor {
  return Factor(
    subgroupMatrixLoad<Left, row_major>(&q, at, p.q_stride),
    subgroupMatrixLoad<Left, row_major>(&q, at + MATRIX_M * p.q_stride, p.q_stride),
  );
}

// Weights of the keys from a column of 8 on.
fn load_weights(subgroup: u32, at: u32) -> Factor {
  return Factor(
    subgroupMatrixLoad<Left, row_major>(&scratch[subgroup], at, STRIDE),
    subgroupMatrixLoad<Left, row_major>(&scratch[subgroup], at + MATRIX_M * STRIDE, STRIDE),
  );
}

// Adds a step over the head to the scores.
fn add_step(tile: Tile, query: Factor, buffer: u32, d8: u32) -> Tile {
  let keys0 = load_keys(buffer, 0u, d8);
  let keys1 = load_keys(buffer, MATRIX_N, d8);
  return Tile(
    subgroupMatrixMultiplyAccumulate(query.upper, keys0, tile.upper0),
    subgroupMatrixMultiplyAccumulate(query.upper, keys1, tile.upper1),
    subgroupMatrixMultiplyAccumulate(query.lower, keys0, tile.lower0),
    subgroupMatrixMultiplyAccumulate(query.lower, keys1, tile.lower1),
  );
}

// Adds the values of a block to the sums of a fragment of columns.
fn add_values(sum: Sum, weights0: Factor, weights1: Factor, buffer: u32, d8: u32) -> Sum {
  let values0 = load_values(buffer, 0u, d8);
  let first = Sum(
    subgroupMatrixMultiplyAccumulate(weights0.upper, values0, sum.upper),
    subgroupMatrixMultiplyAccumulate(weights0.lower, values0, sum.lower),
  );
  if (BLOCK == MATRIX_K) {
    return first;
  }
  let values1 = load_values(buffer, BLOCK - MATRIX_K, d8);
  return Sum(
    subgroupMatrixMultiplyAccumulate(weights1.upper, values1, first.upper),
    subgroupMatrixMultiplyAccumulate(weights1.lower, values1, first.lower),
  );
}

fn store_sum(sum: Sum, subgroup: u32, at: u32) {
  subgroupMatrixStore<row_major>(&scratch[subgroup], at, sum.upper, STRIDE);
  subgroupMatrixStore<row_major>(&scratch[subgroup], at + MATRIX_M * STRIDE, sum.lower, STRIDE);
}

// Multiplies the sums of each query by its factor. All subgroups do so together.
fn scale(sum: Sum, subgroup: u32, lane: u32) -> Sum {
  workgroupBarrier();
  store_sum(sum, subgroup, 0u);
  workgroupBarrier();
  for (var i = lane; i < ROWS * MATRIX_N / 4u; i += SUBGROUP_SIZE) {
    let row = i / (MATRIX_N / 4u);
    let at = row * STRIDE + i % (MATRIX_N / 4u);
    scratch[subgroup][at] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[subgroup][at]) * factors[subgroup * ROWS + row]);
  }
  workgroupBarrier();
  return Sum(
    subgroupMatrixLoad<Result, row_major>(&scratch[subgroup], 0u, STRIDE),
    subgroupMatrixLoad<Result, row_major>(&scratch[subgroup], MATRIX_M * STRIDE, STRIDE),
  );
}

// Writes a fragment of columns of what queries found. All subgroups do so together.
fn store_column(sum: Sum, subgroup: u32, lane: u32, sample: u32, first_query: u32, head: u32, column: u32) {
  workgroupBarrier();
  store_sum(sum, subgroup, 0u);
  workgroupBarrier();
  for (var i = lane; i < ROWS * MATRIX_N / 4u; i += SUBGROUP_SIZE) {
    let r = i / (MATRIX_N / 4u);
    let query = first_query + r;
    let d = column * MATRIX_N / 4u + i % (MATRIX_N / 4u);
    if (query < p.queries && d < p.quads) {
      let found = bitcast<vec4<f32>>(scratch[subgroup][r * STRIDE + i % (MATRIX_N / 4u)]);
      y[((sample * p.queries + query) * p.heads + head) * p.quads + d] = stored4(found * factors[subgroup * ROWS + r]);
    }
  }
}
