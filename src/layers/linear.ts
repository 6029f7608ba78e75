// Linear: y = x W^T + b with everything that follows it in the same kernel. The one place where weights of linear layers live.

import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { TableRows } from "../ops/layer_norm.ts";
import { matmul, type MatmulOptions, takesHalves } from "../ops/matmul.ts";
import type { Matrix, ParameterSet, Vector } from "./parameters.ts";

/** What may be fused behind a linear layer; see `matmul`. */
export interface LinearOptions extends
  Pick<
    MatmulOptions,
    "activation" | "inputActivation" | "multiply" | "addTo" | "outStride" | "outOffset" | "halves"
  > {
  /** With `addTo`: one row of factors a sample, in a table of modulations. */
  gate?: TableRows;
}

/** A linear layer, or several over the same input side by side (queries, keys and values). */
export class Linear {
  readonly weight: Matrix;
  readonly bias: Vector | undefined;
  readonly #precise: boolean;

  /**
   * @param names The checkpoint's prefixes: `transformer_blocks.0.ff.net.2`; several are stacked along the output.
   * @param outFeatures Output features of each name.
   */
  constructor(
    parameters: ParameterSet,
    names: string | readonly string[],
    readonly inFeatures: number,
    outFeatures: number,
    { bias = true, precise = false, shape = [outFeatures, inFeatures] }: {
      bias?: boolean;
      /** See `MatmulOptions`. */
      precise?: boolean;
      shape?: readonly number[];
    } = {},
  ) {
    this.#precise = precise;
    const prefixes = typeof names === "string" ? [names] : names;
    const spec = { outFeatures, inFeatures, taps: 1, shape };
    this.weight = parameters.matrix(prefixes.map((name) => `${name}.weight`), spec);
    if (bias) this.bias = parameters.vector(prefixes.map((name) => `${name}.bias`), [outFeatures]);
  }

  /** All output features together. */
  get outFeatures(): number {
    return this.weight.columns;
  }

  /** Whether `forward` takes x as halves for so many rows and these options. */
  takesHalves(device: Device, rows: number, options: LinearOptions = {}): boolean {
    const { gate, addTo, outStride = addTo?.dim(-1) ?? 0, outOffset = 0, multiply } = options;
    const shared = [outStride, outOffset, multiply?.dim(-1) ?? 0, gate?.stride ?? 0, gate?.offset ?? 0];
    return this.weight.parts.every(({ start, columns, weight }) =>
      takesHalves(device, rows, weight, [start, columns, ...shared])
    );
  }

  /**
   * Applies the layer.
   *
   * @param x [.., inFeatures] f32; f16 where `takesHalves` says so.
   * @returns [.., outFeatures] f32, or f16 with `halves` where the kernel can; with `addTo`, that tensor.
   */
  forward(rec: Recorder, x: Tensor, options: LinearOptions = {}): Tensor {
    const { parts } = this.weight;
    const { addTo, gate, outOffset = 0, ...rest } = options;
    const { bias, outFeatures } = this;
    const outStride = options.outStride ?? (addTo ? addTo.dim(-1) : outFeatures);
    const out = addTo ?? (parts.length > 1 ? rec.tensor([...x.shape.slice(0, -1), outFeatures]) : undefined);
    let result = out;
    for (const { start, columns, weight } of parts) {
      result = matmul(rec, x, weight, {
        ...rest,
        precise: this.#precise,
        addTo,
        out: addTo ? undefined : out,
        outStride,
        outOffset: outOffset + start,
        gate: gate?.tensor,
        gateStride: gate?.stride,
        gateOffset: gate && gate.offset + start,
        bias: parts.length > 1 ? bias?.tensor.view([columns], start) : bias?.tensor,
        columns,
      });
    }
    return result!;
  }
}
