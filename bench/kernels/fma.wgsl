// fma: multiply-adds in registers and nothing else: what the arithmetic of this device can do at most.
//   x [2] vec4   ->   y [invocations] vec4
// 2 x 4 chains that do not depend on each other; STEPS of them an invocation in a loop of 8 turns' worth. Bound by arithmetic.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

alias Vec = vec4<Elem>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let a = Vec(x[0]);
  let b = Vec(x[1]);
  var p = Vec(vec4<f32>(f32(id.x % 7u)));
  var q = Vec(vec4<f32>(f32(id.x % 5u)));
  for (var i = 0u; i < STEPS; i += 8u) {
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
  }
  y[id.x] = vec4<f32>(p + q);
}
