// tfjs-backend-webgpu as a peer.

import * as tf from "@tensorflow/tfjs-core";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import type { Peer } from "./peer.ts";
import { type Ops, PROGRAMS } from "./programs.ts";

type Tensor = tf.Tensor;

const EPS = 1e-6;
const widthOf = ({ shape }: Tensor) => shape.slice(1).reduce((a, b) => a * b, 1);

/** [N, C] or [N, heads, C / heads] -> [heads, N, C / heads] */
const heads = (x: Tensor, count: number) =>
  tf.transpose(tf.reshape(x, [x.shape[0], count, widthOf(x) / count]), [1, 0, 2]);

function normalised(x: Tensor, axis: number): Tensor {
  const { mean, variance } = tf.moments(x, axis, true);
  return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, EPS)));
}

const ops: Ops<Tensor> = {
  matmul: (x, w) => tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D),
  add: (x, y) => tf.add(x, y),
  mul: (x, y) => tf.mul(x, y),
  plusOne: (x) => tf.add(x, 1),
  layerNorm: (x) => normalised(x, -1),
  gelu(x) {
    const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.mul(x, x)))));
    return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
  },
  row: (x, i) => tf.slice(x, [i, 0], [1, x.shape[1]!]),
  attention(q, k, v, count) {
    const [tokens, width] = [q.shape[0], widthOf(q)];
    const scores = tf.matMul(heads(q, count), heads(k, count), false, true);
    const weights = tf.softmax(tf.mul(scores, (width / count) ** -0.5));
    return tf.reshape(tf.transpose(tf.matMul(weights, heads(v, count)), [1, 0, 2]), [tokens, width]);
  },
  conv2d: (x, w, bias) => tf.add(tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same"), bias),
  groupNormSilu(x, weight, bias, groups) {
    const [, height, width, channels] = x.shape;
    const grouped = tf.reshape(x, [height * width, groups, channels / groups]);
    const { mean, variance } = tf.moments(grouped, [0, 2], true);
    const normal = tf.mul(tf.sub(grouped, mean), tf.rsqrt(tf.add(variance, EPS)));
    const y = tf.add(tf.mul(tf.reshape(normal, x.shape), weight), bias);
    return tf.mul(y, tf.sigmoid(y));
  },
};

/** Finds its device. */
export async function open(): Promise<Peer> {
  await tf.setBackend("webgpu");
  await tf.ready();
  const backend = tf.backend();
  if (!(backend instanceof WebGPUBackend)) throw new Error(`tfjs chose ${tf.getBackend()}`);
  return {
    channelsFirst: false,
    prepare(kind, inputs, extents) {
      const arrays = Object.fromEntries(
        Object.entries(inputs).map(([name, { shape, data }]) => [name, tf.tensor(data, shape)]),
      );
      const once = () => tf.tidy(() => PROGRAMS[kind](ops, arrays, extents));
      return Promise.resolve({
        async run(count) {
          const results = Array.from({ length: count }, once);
          if (count > 0) {
            backend.endComputePassEncoder(); // else nothing runs
            backend.submitQueue();
          }
          await backend.queue.onSubmittedWorkDone();
          tf.dispose(results);
        },
        async read() {
          const result = once();
          const values = await result.data();
          result.dispose();
          return values as Float32Array;
        },
        [Symbol.dispose]: () => tf.dispose(arrays),
      });
    },
  };
}
