// The LoRAs of a command line. In: words as `style.safetensors:0.8`. Out: the pipeline with all of them in its weights.

import { UsageError } from "../errors.ts";
import { exists } from "../io/byte_source.ts";
import type { TextToImagePipeline } from "../pipelines/text_to_image.ts";

/** A LoRA and how strongly it applies. */
export interface LoraChoice {
  /** A path or URL of a file or a folder. */
  file: string;
  scale: number;
}

// A number of digits alone behind a URL's host is its port.
const WITH_SCALE = /^(?!https?:\/\/[^/]*$)(.+):([+-]?(?:\d+\.?\d*|\.\d+))$/;

/**
 * Reads `FILE:SCALE`, or `FILE` for the scale 1.
 *
 * @param others Those given before.
 * @throws {UsageError} when it names no file.
 * @example
 * ```ts
 * import { addLoraChoice } from "./loras.ts";
 * console.assert(addLoraChoice("style.safetensors:0.8")[0].scale === 0.8);
 * ```
 */
export function addLoraChoice(text: string, others: readonly LoraChoice[] = []): LoraChoice[] {
  const [, file = text, scale = "1"] = WITH_SCALE.exec(text) ?? [];
  if (file.trim() === "") throw new UsageError(`Cannot use the LoRA "${text}" as it must name a file: it is empty`);
  return [...others, { file, scale: Number(scale) }];
}

/** What a LoRA is called: its file's name, or its folder's where the file's says nothing. */
export function loraName(file: string): string {
  const parts = file.replace(/[?#].*$/, "").split(/[/\\]/).filter((part) => part !== "" && part !== ".");
  const last = (parts.at(-1) ?? file).replace(/\.[A-Za-z]\w*$/, "");
  return /^(pytorch_lora_weights|adapter_model)$/.test(last) ? parts.at(-2) ?? last : last;
}

/**
 * Looks whether all of them are there, before any work.
 *
 * @throws {UsageError} naming the one that is not.
 */
export async function checkLoras(choices: readonly LoraChoice[], signal: AbortSignal): Promise<void> {
  for (const { file } of choices) {
    if (await exists(file, { signal })) continue;
    throw new UsageError(`Cannot use the LoRA ${file} as it must be a file or a folder: nothing is there`);
  }
}

/**
 * Loads LoRAs onto a pipeline, all active together.
 *
 * @returns What each is called, and notes on what was left aside.
 */
export async function wearLoras(
  pipe: TextToImagePipeline,
  choices: readonly LoraChoice[],
  signal: AbortSignal,
  onProgress: (loaded: number, total: number) => void,
): Promise<{ loras: { name: string; file: string; scale: number }[]; notes: string[] }> {
  const loras: { name: string; file: string; scale: number }[] = [], notes: string[] = [];
  for (const { file, scale } of choices) {
    const plain = loraName(file);
    const taken = (name: string) => loras.some((one) => one.name === name);
    let name = plain;
    for (let i = 2; taken(name); i++) name = `${plain}-${i}`;
    await pipe.loadLora(file, { adapterName: name, activate: false, signal });
    loras.push({ name, file, scale });
    const { ignored } = pipe.adapters.find((adapter) => adapter.name === name)!;
    if (ignored.length > 0) {
      notes.push(
        `the LoRA ${name} also changes a text encoder, which is left as it is: ${ignored.length} tensors ignored`,
      );
    }
  }
  if (loras.length > 0) {
    const [names, scales] = [loras.map(({ name }) => name), loras.map(({ scale }) => scale)];
    await pipe.setAdapters(names, scales, { signal, onProgress, onWarning: (text) => notes.push(text) });
  }
  return { loras, notes };
}
