// weighTokens: embeddings of a prompt, each token as strongly as its weight says.

import source from "../../shaders/weigh_tokens.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "weigh_tokens", source };

/**
 * Writes (x - empty) * weight + empty over `x`, in place; a token of weight 1 stays as it is.
 *
 * @param x [B, L, C] f32, embeddings of prompts.
 * @param empty [1, L, C] f32, those of an empty prompt.
 * @param weights [B, L] f32.
 * @throws {ShapeError} when they do not belong together.
 */
export function weighTokens(rec: Recorder, x: Tensor, empty: Tensor, weights: Tensor): void {
  const [batch, tokens, width] = x.shape;
  const isFitting = x.shape.length === 3 && empty.shape.join() === [1, tokens, width].join() &&
    weights.shape.join() === [batch, tokens].join();
  if (!isFitting || [x, empty, weights].some(({ dtype }) => dtype !== "f32")) {
    throw new ShapeError(
      `Cannot weigh ${x} by ${weights} from ${empty} as they must be f32 [B, L, C], [B, L] and [1, L, C]: they are not`,
    );
  }
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [empty, weights, x],
    params: { total: x.size, item: tokens * width, width },
    groups: linearGroups(Math.ceil(x.size / 64)),
  });
}
