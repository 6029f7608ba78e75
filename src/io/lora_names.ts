// Names in LoRA files, of every tool that writes them. In: a tensor's name. Out: which part of which modules it is, under the
// names that the model has in diffusers' layout.
import { diffusersNames } from "./original_names.ts";

/** A module that a LoRA can change. */
export interface LoraModule {
  /** Its name in diffusers' layout: `transformer_blocks.0.attn1.to_q`. */
  name: string;
  /** The shape of its weight: [N, K], or [N, K, height, width] of a convolution. */
  shape: readonly number[];
}

/** What a tensor of a LoRA is: W + scale * up down; with a magnitude, DoRA. */
export type LoraPart = "down" | "up" | "magnitude" | "alpha";

/** A tensor's name, taken apart. */
export interface LoraName {
  part: LoraPart;
  /** The module as the file calls it, without what tools put in front. */
  path: string;
  /** Whether the file spells it as PEFT does, where a missing alpha means PEFT's default. */
  isPeft: boolean;
}

// `default` and the like behind PEFT's names is the adapter's own name.
const PARTS: readonly [RegExp, LoraPart][] = [
  [/[._](?:lora_A(?:\.(?!weight$)[^.]+)?|lora_down|lora\.down|lora_linear_layer\.down)\.weight$/, "down"],
  [/[._](?:lora_B(?:\.(?!weight$)[^.]+)?|lora_up|lora\.up|lora_linear_layer\.up)\.weight$/, "up"],
  [/\.(?:lora_magnitude_vector(?:\.(?!weight$)[^.]+)?(?:\.weight)?|dora_scale)$/, "magnitude"],
  [/\.alpha$/, "alpha"],
];

const PREFIXES = [
  ...["base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "module."],
  ...["lora_transformer_", "lora_unet_"],
];

const TEXT_ENCODER = /^(?:base_model\.model\.)?(?:lora_te\d*[._]|text_encoders?(?:_\d+)?\.)/;

/** Whether a tensor belongs to a text encoder, which takes no LoRA here. */
export const isOfTextEncoder = (name: string): boolean => TEXT_ENCODER.test(name);

/** Takes a name apart; nothing when it is no part of a LoRA. */
export function parseLoraName(name: string): LoraName | undefined {
  for (const [pattern, part] of PARTS) {
    const match = pattern.exec(name);
    if (!match) continue;
    let path = name.slice(0, match.index);
    for (let prefix; (prefix = PREFIXES.find((one) => path.startsWith(one)));) path = path.slice(prefix.length);
    // diffusers' attention processors of old: `attn1.processor.to_q_lora.down.weight`.
    path = path.replace(".processor.to_", ".to_").replace(/\.to_out$/, ".to_out.0");
    return { part, path, isPeft: /[._]lora_([AB]|magnitude)/.test(match[0]) };
  }
  return undefined;
}

// Modules of the original repository's network, whose checkpoints and LoRAs fuse queries, keys and values.
const ORIGINAL = [
  ...["x_embedder.proj", "y_embedder.y_proj.fc1", "y_embedder.y_proj.fc2", "t_embedder.mlp.0", "t_embedder.mlp.2"],
  ...["csize_embedder.mlp.0", "csize_embedder.mlp.2", "ar_embedder.mlp.0", "ar_embedder.mlp.2"],
  ...["t_block.1", "final_layer.linear"],
];
const ORIGINAL_OF_BLOCK = [
  ...["attn.qkv", "attn.proj", "cross_attn.q_linear", "cross_attn.kv_linear", "cross_attn.proj"],
  ...["mlp.fc1", "mlp.fc2"],
];

/** A model's modules by all the names that files have for them: diffusers' and the original's, with dots or underscores. */
export class ModuleIndex {
  readonly #targets = new Map<string, readonly LoraModule[]>();

  constructor(modules: readonly LoraModule[]) {
    const byName = new Map(modules.map((module) => [module.name, module]));
    const enter = (name: string, targets: readonly LoraModule[]) => {
      this.#targets.set(name, targets);
      this.#targets.set(name.replaceAll(".", "_"), targets);
    };
    const blocks = new Set(modules.flatMap(({ name }) => /^transformer_blocks\.(\d+)\./.exec(name)?.[1] ?? []));
    const inBlocks = [...blocks].flatMap((block) => ORIGINAL_OF_BLOCK.map((name) => `blocks.${block}.${name}`));
    for (const original of [...ORIGINAL, ...inBlocks]) {
      const names = diffusersNames(`${original}.weight`) ?? [];
      const targets = names.flatMap((name) => byName.get(name.slice(0, -".weight".length)) ?? []);
      if (targets.length > 0 && targets.length === names.length) enter(original, targets);
    }
    for (const module of modules) enter(module.name, [module]);
  }

  /**
   * The modules that a path of `parseLoraName` stands for.
   *
   * @returns Several for a fused projection, in the order in which their rows lie; nothing when the model has no such module.
   */
  find(path: string): readonly LoraModule[] | undefined {
    return this.#targets.get(path);
  }
}
