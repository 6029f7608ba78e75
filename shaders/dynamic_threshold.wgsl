// dynamic_threshold: the bound of each batch item's prediction m, one workgroup an item.
//   output [answers B, Cout, h, w]   x [B, C, h, w]   ->   bound [B] = min(max(quantile(|m|), 1), max)
// The quantile lies between two neighbours in the order of |m|. Bits of positive floats are ordered as the floats are, so a
// radix select finds the lower one in four passes of 8 bits, and a fifth finds the least one above it. Exact: no sort, no sum.
// Bound by memory and by atomics: five passes over output and x, few enough beside a transformer.

struct Params {
  total: u32, // B * C * h * w
  item: u32, // C * h * w
  output_item: u32, // Cout * h * w
  answers: u32, // of the model to each sample, from 1 to 3
  guided: u32, // how many values of an output item are guided; those behind are the last answer's
  guidance1: f32,
  guidance2: f32,
  convert_sample: f32,
  convert_output: f32,
  rank: u32, // of the lower neighbour, from 0
  weight: f32, // of the upper neighbour
  max: f32,
}

@group(0) @binding(0) var<storage, read> output: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> bound: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

const WORKERS = 256u; // one for each value of 8 bits

var<workgroup> histogram: array<atomic<u32>, WORKERS>;
var<workgroup> found: u32; // the leading bits of the lower neighbour
var<workgroup> rank: u32; // its rank among the values that share them
var<workgroup> equal: u32; // how many values share them
var<workgroup> above: atomic<u32>;

fn magnitude(i: u32) -> u32 {
  return bitcast<u32>(solver_prediction(x[i], solver_output(i, 0u))) & 0x7fffffffu;
}

@compute @workgroup_size(WORKERS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) worker: u32) {
  let start = id.x * p.item;
  if (worker == 0u) {
    found = 0u;
    rank = p.rank;
    atomicStore(&above, 0xffffffffu);
  }
  for (var pass_index = 0u; pass_index < 4u; pass_index++) {
    let shift = 24u - 8u * pass_index;
    atomicStore(&histogram[worker], 0u);
    workgroupBarrier();
    let mask = 0xffffff00u << shift; // of the bits that earlier passes found
    let prefix = found;
    for (var i = worker; i < p.item; i += WORKERS) {
      let bits = magnitude(start + i);
      if ((bits & mask) == prefix) {
        atomicAdd(&histogram[(bits >> shift) & 255u], 1u);
      }
    }
    workgroupBarrier();
    if (worker == 0u) {
      var digit = 0u;
      var count = atomicLoad(&histogram[0]);
      while (rank >= count && digit < 255u) {
        rank -= count;
        digit++;
        count = atomicLoad(&histogram[digit]);
      }
      found = prefix | (digit << shift);
      equal = count;
    }
    workgroupBarrier();
  }
  for (var i = worker; i < p.item; i += WORKERS) {
    let bits = magnitude(start + i);
    if (bits > found) {
      atomicMin(&above, bits);
    }
  }
  workgroupBarrier();
  if (worker == 0u) {
    let low = bitcast<f32>(found);
    var quantile = low;
    if (p.weight > 0.0 && rank + 1u >= equal) {
      let high = bitcast<f32>(atomicLoad(&above));
      // As torch.lerp has it: from the nearer end.
      quantile = select(high - (high - low) * (1.0 - p.weight), low + p.weight * (high - low), p.weight < 0.5);
    }
    bound[id.x] = min(max(quantile, 1.0), p.max);
  }
}
