// The raced work as programs over a few operations that every peer has. In: a peer's operations and named inputs. Out: its value of the
// result, whatever a value is to the peer: an array, a node of a graph.

/** The operations of a peer. Matrices are [rows, columns]. */
export interface Ops<T> {
  matmul(x: T, w: T): T;
  add(x: T, y: T): T;
  mul(x: T, y: T): T;
  /** x + 1 */
  plusOne(x: T): T;
  /** Each row normalised, without factors. */
  layerNorm(x: T): T;
  /** The approximation by tanh. */
  gelu(x: T): T;
  /** Row i of [rows, C] as [1, C]. */
  row(x: T, i: number): T;
  /** q [N, C], k and v [M, C] -> [N, C], in heads of C / heads. */
  attention(q: T, k: T, v: T, heads: number): T;
  /** 3x3 with one pixel of padding, in the peer's own layout. */
  conv2d(x: T, w: T, bias: T): T;
  /** Group norm with factors, then SiLU, in the peer's own layout. */
  groupNormSilu(x: T, weight: T, bias: T, groups: number): T;
}

type Inputs<T> = Record<string, T>;

/** A kind of work. */
export type Program = <T>(ops: Ops<T>, inputs: Inputs<T>, extents: Record<string, number>) => T;

function block<T>(ops: Ops<T>, inputs: Inputs<T>, heads: number): T {
  const { add, mul } = ops;
  const linear = (name: string, x: T) => add(ops.matmul(x, inputs[`${name}.weight`]), inputs[`${name}.bias`]);
  const row = (i: number) => ops.row(inputs.modulation, i);
  const modulated = (x: T, shift: number) => add(mul(ops.layerNorm(x), ops.plusOne(row(shift + 1))), row(shift));
  const attend = (name: string, x: T, context: T) => {
    const [q, k, v] = [linear(`${name}.to_q`, x), linear(`${name}.to_k`, context), linear(`${name}.to_v`, context)];
    return linear(`${name}.to_out.0`, ops.attention(q, k, v, heads));
  };
  let { x } = inputs;
  const y = modulated(x, 0);
  x = add(x, mul(row(2), attend("attn1", y, y)));
  x = add(x, attend("attn2", x, inputs.caption));
  const hidden = ops.gelu(linear("ff.net.0.proj", modulated(x, 3)));
  return add(x, mul(row(5), linear("ff.net.2", hidden)));
}

/** The programs by the kinds of jobs. */
export const PROGRAMS: Readonly<Record<string, Program>> = {
  matmul: (ops, { x, w }) => ops.matmul(x, w),
  attention: (ops, { q, k, v }, { heads }) => ops.attention(q, k, v, heads),
  conv2d: (ops, { x, w, bias }) => ops.conv2d(x, w, bias),
  layer_norm: (ops, { x, shift, scale }) => ops.add(ops.mul(ops.layerNorm(x), scale), shift),
  group_norm: (ops, { x, weight, bias }, { groups }) => ops.groupNormSilu(x, weight, bias, groups),
  block: (ops, inputs, { heads }) => block(ops, inputs, heads),
};
