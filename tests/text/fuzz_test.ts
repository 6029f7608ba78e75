// Tokenizer files with random damage: each is refused by an error that names the file, or makes a tokenizer that encodes.
import assert from "node:assert/strict";
import { readBytes } from "../../src/io/byte_source.ts";
import { parsePythonJson } from "../../src/io/python_json.ts";
import { ConfigError } from "../../src/errors.ts";
import { readSentencepieceModel, type Vocabulary } from "../../src/text/sentencepiece_model.ts";
import { T5Tokenizer } from "../../src/text/tokenizer.ts";
import { readTokenizerConfig } from "../../src/text/tokenizer_config.ts";
import { readTokenizerJson } from "../../src/text/tokenizer_json.ts";
import { COUNT, damaged, fuzz } from "../_damage.ts";
import { tokenizerJson } from "./_tokenizer_files.ts";

const FOLDER = new URL("../../weights/emoji-64/tokenizer/", import.meta.url).href;
const config = await readTokenizerConfig(FOLDER);
const sound = await readBytes(`${FOLDER}spiece.model`);

function encodes(vocabulary: Vocabulary, name: string): void {
  const tokenizer = new T5Tokenizer(vocabulary, config, name);
  const { inputIds } = tokenizer.encode("a red apple on a ﬁne blue background", { maxLength: 24, padding: true });
  assert.equal(inputIds.length, 24);
  assert.ok(inputIds.every((id) => id >= 0 && id < tokenizer.vocabSize));
}

Deno.test(`a damaged spiece.model is refused or encodes, ${COUNT} times`, async () => {
  await fuzz("spiece.model", (draw) => damaged(sound, draw), (file, name) => {
    encodes(readSentencepieceModel(file, name), name);
  });
});

Deno.test(`a damaged tokenizer.json is refused or encodes, ${COUNT} times`, async () => {
  const json = tokenizerJson(readSentencepieceModel(sound, "spiece.model"), 0, 4);
  const text = new TextEncoder().encode(JSON.stringify(json));
  await fuzz("tokenizer.json", (draw) => damaged(text, draw), (file, name) => {
    let parsed: unknown;
    try {
      parsed = parsePythonJson(new TextDecoder().decode(file));
    } catch (error) {
      throw new ConfigError(`Cannot read ${name} as JSON: ${(error as Error).message.slice(0, 200)}`); // as readJson does
    }
    encodes(readTokenizerJson(parsed, name).vocabulary, name);
  });
});
