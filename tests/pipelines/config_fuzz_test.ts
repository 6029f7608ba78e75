// Configurations with random damage: each is refused with a ConfigError that names the key, or gives numbers that can be used.
import assert from "node:assert/strict";
import { parseTransformerConfig } from "../../src/dit/config.ts";
import { ConfigError } from "../../src/errors.ts";
import { readBytes } from "../../src/io/byte_source.ts";
import { parsePythonJson } from "../../src/io/python_json.ts";
import { DPMSolverMultistepScheduler } from "../../src/schedulers/dpm_solver_multistep.ts";
import { parseT5Config } from "../../src/text/t5_config.ts";
import { parseAutoencoderConfig } from "../../src/vae/config.ts";
import { COUNT, damaged, fuzz } from "../_damage.ts";

const CONFIGS: [file: string, parse: (json: unknown) => unknown][] = [
  ["transformer/config.json", parseTransformerConfig],
  ["text_encoder/config.json", parseT5Config],
  ["vae/config.json", parseAutoencoderConfig],
  ["scheduler/scheduler_config.json", (json) => DPMSolverMultistepScheduler.fromConfig(json).config],
];

for (const [file, parse] of CONFIGS) {
  Deno.test(`a damaged ${file} is refused or read, ${COUNT} times`, async () => {
    const sound = await readBytes(new URL(`../../weights/emoji-64/${file}`, import.meta.url));
    await fuzz(file, (draw) => damaged(sound, draw), (bytes) => {
      let json: unknown;
      try {
        json = parsePythonJson(new TextDecoder().decode(bytes));
      } catch {
        throw new ConfigError("not JSON");
      }
      const config = parse(json) as Record<string, unknown>;
      for (const value of Object.values(config)) assert.ok(!Number.isNaN(value));
    }, { kind: ConfigError, naming: false });
  });
}
