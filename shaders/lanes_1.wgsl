// lanes: a kernel that reads one element at a time, for rows whose length is not a multiple of four.

alias Lanes = f32;
const LANES = 1u;

fn lane_sum(v: Lanes) -> f32 {
  return v;
}
