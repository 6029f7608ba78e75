// lanes: a kernel that reads four neighbouring elements at a time.

alias Lanes = vec4<f32>;
const LANES = 4u;

fn lane_sum(v: Lanes) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}
