// LoRA files in a folder that removes itself, for a small model with the names of PixArt's modules.

import { joinPath } from "../../src/io/byte_source.ts";
import type { LoraModule } from "../../src/io/lora_names.ts";
import { encodeSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { numbers } from "../_reference.ts";

/** Modules of a network of one block, 8 channels wide. */
export const MODULES: readonly LoraModule[] = [
  { name: "pos_embed.proj", shape: [8, 4, 2, 2] },
  { name: "adaln_single.linear", shape: [48, 8] },
  ...["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_q", "attn2.to_k", "attn2.to_v"]
    .map((name) => ({ name: `transformer_blocks.0.${name}`, shape: [8, 8] })),
  { name: "transformer_blocks.0.ff.net.0.proj", shape: [32, 8] },
  { name: "transformer_blocks.0.ff.net.2", shape: [8, 32] },
];

/** Tensors of f32, by name. */
export type Floats = Record<string, { shape: number[]; data: Float32Array }>;

/** A tensor with numbers of its own. */
export function tensor(shape: number[], seed = 1): Floats[string] {
  return { shape, data: numbers(shape.reduce((size, extent) => size * extent, 1), seed) };
}

/** The files of a LoRA. */
export class LoraFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "lora" });

  /** Writes a safetensors file, and returns its path. */
  write(file: string, tensors: Floats, metadata: Record<string, string> = {}): string {
    const entries = Object.entries(tensors).map(([name, { shape, data }]) => [name, { dtype: "F32", shape, data }]);
    const path = joinPath(this.path, file);
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(path, encodeSafetensors(Object.fromEntries(entries) as Record<string, TensorData>, metadata));
    return path;
  }

  /** Writes a JSON file. */
  writeJson(file: string, value: unknown): void {
    Deno.writeTextFileSync(joinPath(this.path, file), JSON.stringify(value));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
