// ONNX graphs of the raced work, written with the protobuf schema of ONNX. In: a kind of work, its inputs. Out: the bytes of a model.
// Weights are in the model, as exporters put them there; what changes from run to run (x, caption, modulation, q, k, v) are its inputs.
//
//   deno run -A --config bench/peers/deno.json bench/peers/onnx_graph.ts block.onnx    a DiT block with random weights, as a file

import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import type { HostArray } from "./peer.ts";
import { type Ops, PROGRAMS } from "./programs.ts";

const MICROSOFT = "com.microsoft";
const EPS = 1e-6;

/** A value of the graph. */
interface Value {
  name: string;
  shape: number[];
}

type Attributes = Record<string, number | number[] | { float: number }>;

function attribute(name: string, value: Attributes[string]): AttributeProto {
  if (Array.isArray(value)) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
  }
  if (typeof value === "object") {
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
}

function valueInfo({ name, shape }: Value): ValueInfoProto {
  const dim = shape.map((extent) =>
    create(TensorShapeProto_DimensionSchema, { value: { case: "dimValue", value: BigInt(extent) } })
  );
  const tensor = create(TypeProto_TensorSchema, {
    elemType: DataType.FLOAT,
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensor } }),
  });
}

/** Names of arrays that are given at each run; all others are weights. */
const GIVEN = ["x", "caption", "modulation", "q", "k", "v"];

/** A graph as it grows. */
class Graph implements Ops<Value> {
  readonly nodes: NodeProto[] = [];
  readonly constants: TensorProto[] = [];

  /** @param fused Whether attention is one operation, of Microsoft's, or a few of the standard. */
  constructor(private readonly fused: boolean) {}

  #node(opType: string, inputs: readonly (Value | undefined)[], shape: number[], given: Attributes = {}, domain = "") {
    const name = `v${this.nodes.length}`;
    this.nodes.push(create(NodeProtoSchema, {
      ...{ name: `${opType}_${name}`, opType, domain },
      input: inputs.map((value) => value?.name ?? ""),
      output: [name],
      attribute: Object.entries(given).map(([key, value]) => attribute(key, value)),
    }));
    return { name, shape };
  }

  constant(name: string, { shape, data }: HostArray): Value {
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.constants.push(
      create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType: DataType.FLOAT, rawData }),
    );
    return { name, shape };
  }

  #fill(count: number, value: number): Value {
    return this.constant(`c${this.constants.length}`, { shape: [count], data: new Float32Array(count).fill(value) });
  }

  #integers(values: readonly number[]): Value {
    const name = `c${this.constants.length}`;
    const rawData = new Uint8Array(new BigInt64Array(values.map(BigInt)).buffer);
    this.constants.push(
      create(TensorProtoSchema, { name, dims: [BigInt(values.length)], dataType: DataType.INT64, rawData }),
    );
    return { name, shape: [values.length] };
  }

  reshape(x: Value, shape: number[]): Value {
    return this.#node("Reshape", [x, this.#integers(shape)], shape);
  }

  transpose(x: Value, perm: number[]): Value {
    return this.#node("Transpose", [x], perm.map((axis) => x.shape[axis]), { perm });
  }

  matmul = (x: Value, w: Value) => this.#node("MatMul", [x, w], [...x.shape.slice(0, -1), w.shape[w.shape.length - 1]]);
  add = (x: Value, y: Value) => this.#node("Add", [x, y], x.shape.length >= y.shape.length ? x.shape : y.shape);
  mul = (x: Value, y: Value) => {
    const largest = x.shape.reduce((a, b) => a * b, 1) >= y.shape.reduce((a, b) => a * b, 1) ? x : y;
    return this.#node("Mul", [x, y], largest.shape);
  };
  plusOne = (x: Value) => this.add(x, this.#fill(1, 1));
  gelu = (x: Value) => this.#node("FastGelu", [x], x.shape, {}, MICROSOFT);
  row = (x: Value, i: number) =>
    this.#node("Slice", [x, this.#integers([i]), this.#integers([i + 1]), this.#integers([0])], [1, x.shape[1]]);

  layerNorm(x: Value): Value {
    const width = x.shape[x.shape.length - 1];
    const factors = [this.#fill(width, 1), this.#fill(width, 0)];
    return this.#node("LayerNormalization", [x, ...factors], x.shape, { axis: -1, epsilon: { float: EPS } });
  }

  attention(q: Value, k: Value, v: Value, heads: number): Value {
    const width = q.shape.slice(1).reduce((a, b) => a * b, 1);
    if (this.fused) {
      const batched = [q, k, v].map((x) => this.reshape(x, [1, x.shape[0], width]));
      const result = this.#node("MultiHeadAttention", batched, batched[0].shape, { num_heads: heads }, MICROSOFT);
      return this.reshape(result, [q.shape[0], width]);
    }
    const cut = (x: Value, order: number[]) =>
      this.transpose(this.reshape(x, [x.shape[0], heads, width / heads]), order);
    const scale = this.#fill(1, (width / heads) ** -0.5);
    const scores = this.mul(this.matmul(cut(q, [1, 0, 2]), cut(k, [1, 2, 0])), scale);
    const weights = this.#node("Softmax", [scores], scores.shape, { axis: -1 });
    const mixed = this.transpose(this.matmul(weights, cut(v, [1, 0, 2])), [1, 0, 2]);
    return this.reshape(mixed, [q.shape[0], width]);
  }

  conv2d(x: Value, w: Value, bias: Value): Value {
    const shape = [x.shape[0], w.shape[0], ...x.shape.slice(2)];
    return this.#node("Conv", [x, w, bias], shape, { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  }

  groupNormSilu(x: Value, weight: Value, bias: Value, groups: number): Value {
    const factors = [this.#fill(groups, 1), this.#fill(groups, 0)];
    const cut = this.reshape(x, [1, groups, x.shape.reduce((a, b) => a * b, 1) / groups]);
    const normal = this.#node("InstanceNormalization", [cut, ...factors], cut.shape, { epsilon: { float: EPS } });
    const [scale, shift] = [weight, bias].map((vector) => this.reshape(vector, [1, x.shape[1], 1, 1]));
    const y = this.add(this.mul(this.reshape(normal, x.shape), scale), shift);
    return this.mul(y, this.#node("Sigmoid", [y], y.shape));
  }
}

/** A model with the names of its inputs, in order, and the shape of its one output, `y`. */
export interface OnnxModel {
  bytes: Uint8Array;
  inputs: string[];
  output: number[];
}

/** Writes the model of a kind of work. */
export function writeOnnx(
  kind: string,
  arrays: Record<string, HostArray>,
  extents: Record<string, number>,
  { fused }: { fused: boolean },
): OnnxModel {
  const graph = new Graph(fused);
  const inputs = Object.keys(arrays).filter((name) => GIVEN.includes(name));
  const values = Object.fromEntries(
    Object.entries(arrays).map(([name, array]): [string, Value] => {
      return [name, inputs.includes(name) ? { name, shape: array.shape } : graph.constant(name, array)];
    }),
  );
  const result = PROGRAMS[kind](graph, values, extents);
  graph.nodes[graph.nodes.length - 1].output = ["y"]; // the last node makes the result
  const model = create(ModelProtoSchema, {
    irVersion: 9n,
    producerName: "pixart-bench",
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: 20n }),
      create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n }),
    ],
    graph: create(GraphProtoSchema, {
      name: kind,
      node: graph.nodes,
      initializer: graph.constants,
      input: inputs.map((name) => valueInfo(values[name])),
      output: [valueInfo({ name: "y", shape: result.shape })],
    }),
  });
  return { bytes: toBinary(ModelProtoSchema, model), inputs, output: result.shape };
}

if (import.meta.main) {
  const { blockCases, CAPTION, C, HEADS } = await import("../cases/block.ts");
  const job = blockCases.find(({ peer }) => peer)!.peer!;
  const arrays = await job.inputs!() as Record<string, HostArray>;
  const { bytes } = writeOnnx("block", arrays, { heads: HEADS }, { fused: true });
  await Deno.writeFile(Deno.args[0], bytes);
  console.error(`${Deno.args[0]}: ${bytes.length} bytes, width ${C}, ${CAPTION} caption tokens`);
}
