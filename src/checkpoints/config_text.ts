// Configs as Hugging Face's programs write and check them. In: a JSON object. Out: its text.

/** Keys whose values are floats to Python, which some loaders refuse as whole numbers: JSON alone has no such difference. */
const FLOATS = [
  ...["dropout", "dropout_rate", "classifier_dropout", "initializer_factor", "layer_norm_epsilon", "norm_eps"],
  ...["scaling_factor", "shift_factor", "pe_interpolation", "sample_max_value", "beta_start", "beta_end", "flow_shift"],
];

const WHOLE = new RegExp(`^( *"(?:${FLOATS.join("|")})": -?\\d+)(,?)$`, "gm");

/**
 * Spells a config: keys sorted, two spaces a level, floats as floats, a line end behind.
 *
 * @example
 * ```ts
 * import { configText } from "./config_text.ts";
 * console.assert(configText({ num_layers: 2, dropout: 0 }) === '{\n  "dropout": 0.0,\n  "num_layers": 2\n}\n');
 * ```
 */
export function configText(config: Readonly<Record<string, unknown>>): string {
  const sorted = Object.fromEntries(Object.entries(config).sort(([a], [b]) => a < b ? -1 : 1));
  return `${JSON.stringify(sorted, null, 2).replace(WHOLE, "$1.0$2")}\n`;
}
