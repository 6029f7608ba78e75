// A random pipeline whose networks are narrow, for tests of what memory the stages take. In: extents. Out: a folder that goes away.

import { fileURLToPath } from "node:url";
import { writePipeline } from "../../src/checkpoints/pipeline_folder.ts";
import { autoencoderTensors, t5Tensors, transformerTensors } from "../../src/checkpoints/random_tensors.ts";
import { RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { parseTransformerConfig } from "../../src/dit/config.ts";
import { transformerConfigJson } from "../../src/dit/config_json.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { parseAutoencoderConfig } from "../../src/vae/config.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

/** How wide and deep the networks are. */
export interface NarrowExtents {
  /** Channels of the text encoder, 4 heads; its blocks. */
  text: number;
  textBlocks: number;
  /** Channels of the transformer, 4 heads; its blocks, and latent pixels a side. */
  transformer: number;
  blocks: number;
  sampleSize: number;
  /** Channels of the VAE's levels, outermost first, and pixels a side of its tiles. */
  vae: readonly number[];
  tile: number;
}

/** Writes f16 weights of such networks, with the embedded model's tokenizer. */
export async function narrowPipeline(extents: NarrowExtents): Promise<Disposable & { path: string }> {
  const { text, textBlocks, transformer, blocks, sampleSize, vae, tile } = extents;
  const t5 = {
    model_type: "t5",
    architectures: ["T5EncoderModel"],
    d_model: text,
    d_kv: text / 4,
    d_ff: 2 * text,
    num_heads: 4,
    num_layers: textBlocks,
    vocab_size: 224,
    feed_forward_proj: "gated-gelu",
  };
  const dit = parseTransformerConfig({
    num_attention_heads: 4,
    attention_head_dim: transformer / 4,
    cross_attention_dim: transformer,
    caption_channels: text,
    num_layers: blocks,
    sample_size: sampleSize,
  });
  const image = {
    _class_name: "AutoencoderKL",
    block_out_channels: vae,
    layers_per_block: 1,
    norm_num_groups: 8,
    sample_size: tile,
    scaling_factor: 0.5,
  };
  const models = [
    { kind: "text_encoder", json: t5, tensors: t5Tensors(parseT5Config(t5)) },
    { kind: "transformer", json: transformerConfigJson(dit), transformer: dit, tensors: transformerTensors(dit) },
    { kind: "vae", json: image, tensors: autoencoderTensors(parseAutoencoderConfig(image)) },
  ] as const;
  const folder = temporaryFolder();
  const path = `${folder.path}/narrow`;
  const open = models.map(({ tensors, ...model }) => () => {
    const source = new RandomWeights(`random ${model.kind}`, tensors, 1, "F16");
    return Promise.resolve({ ...model, source, [Symbol.dispose]: () => source[Symbol.dispose]() });
  });
  const tokenizer = fileURLToPath(`${DEFAULT_MODEL}tokenizer`);
  await writePipeline(path, { pipeline: "PixArtSigmaPipeline", models: open, tokenizer }, {});
  return { path, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}
