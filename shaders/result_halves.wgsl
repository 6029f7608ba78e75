// result: what a kernel over rows makes, as halves two to a word. Appended to kernels that work in Lanes of four.

alias Result = vec2<u32>;

fn result(v: Lanes) -> Result {
  return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}
