// Text becomes tokens. In: a folder with `spiece.model` or `tokenizer.json`, and any text. Out: token ids as T5 was trained on
// them, ended by `</s>` and padded. Plain numbers, no GPU.
import { exists, joinPath, readBytes, readJson } from "../io/byte_source.ts";
import { ConfigError, UsageError } from "../errors.ts";
import { Charsmap } from "./sentencepiece_charsmap.ts";
import { readSentencepieceModel, type Vocabulary } from "./sentencepiece_model.ts";
import { readTokenizerConfig, type TokenizerConfig } from "./tokenizer_config.ts";
import { readTokenizerJson } from "./tokenizer_json.ts";
import { Unigram } from "./unigram.ts";

/** How to encode. */
export interface EncodeOptions {
  /** The most tokens, the end token among them; `modelMaxLength` when left out. */
  maxLength?: number;
  /** Whether shorter texts are filled up to `maxLength` with the padding token. */
  padding?: boolean;
  /** Whether longer texts are cut; true when `maxLength` is given. */
  truncation?: boolean;
}

/** Token ids of one text. */
export interface Encoding {
  /** Ids [L]. */
  inputIds: Int32Array;
  /** 1 for a token, 0 for padding [L]. */
  attentionMask: Int32Array;
  /** What truncation cut off, as text; absent when nothing was cut. */
  truncatedText?: string;
}

/**
 * The tokenizer of T5: a sentencepiece unigram model, with tokens such as `</s>` that text may spell.
 *
 * @example
 * ```ts
 * import { T5Tokenizer } from "@pixart/webgpu";
 * const tokenizer = await T5Tokenizer.fromPretrained("tests/golden/tokenizer");
 * const { inputIds } = tokenizer.encode("A small cactus", { maxLength: 300 });
 * console.assert(tokenizer.decode(inputIds, { skipSpecialTokens: true }) === "A small cactus");
 * ```
 */
export class T5Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The longest sequence that the checkpoint states, Infinity when it states none. */
  readonly modelMaxLength: number;
  /** The id that fills up short texts. */
  readonly padTokenId: number;
  /** The id that ends a text. */
  readonly eosTokenId: number;
  /** The id of what the vocabulary cannot spell. */
  readonly unkTokenId: number;

  readonly #vocabulary: Vocabulary;
  readonly #charsmap: Charsmap;
  readonly #unigram: Unigram;
  readonly #keep: ((bytes: Uint8Array, offset: number) => number) | undefined;
  /** Tokens that text may spell, with their ids. */
  readonly #tokens: Map<string, number>;
  readonly #tokenPattern: RegExp;
  readonly #textOf = new Map<number, string>();

  /**
   * @param vocabulary The pieces and the normalisation.
   * @param config Special tokens and lengths.
   * @param name The folder or file, for messages.
   * @throws {ConfigError} when a special token is in no vocabulary.
   */
  constructor(vocabulary: Vocabulary, config: TokenizerConfig, name: string) {
    const { pieces } = vocabulary;
    this.#vocabulary = vocabulary;
    this.#charsmap = new Charsmap(vocabulary.charsmap, name);
    this.#unigram = new Unigram(pieces, vocabulary.unkId, vocabulary.byteFallback);
    this.#keep = userDefinedMatcher(vocabulary);
    this.#tokens = tokensInText(vocabulary, config);
    this.#tokenPattern = alternatives([...this.#tokens.keys()]);
    pieces.forEach((piece, id) => this.#textOf.set(id, piece.text));
    for (const [text, id] of this.#tokens) this.#textOf.set(id, text);

    const idOf = (role: "pad" | "eos" | "unk"): number => {
      const id = this.#tokens.get(config.special[role]);
      if (id !== undefined) return id;
      throw new ConfigError(`Cannot use ${name} as a T5 tokenizer: ${role}_token ${config.special[role]} has no id`);
    };
    this.padTokenId = idOf("pad");
    this.eosTokenId = idOf("eos");
    this.unkTokenId = idOf("unk");
    this.modelMaxLength = config.modelMaxLength;
    this.vocabSize = largestId(pieces.length, this.#tokens) + 1;
  }

  /**
   * Loads a tokenizer. `spiece.model` is taken before `tokenizer.json`, which imitates it.
   *
   * @param folder A path or URL.
   * @param options `subfolder`: where in it the tokenizer lies, as in a pipeline's checkpoint.
   * @throws {WeightsError | ConfigError} that names the file that is missing or broken.
   */
  static async fromPretrained(
    folder: string,
    { subfolder = "" }: { subfolder?: string } = {},
  ): Promise<T5Tokenizer> {
    const place = subfolder === "" ? folder : joinPath(folder, subfolder);
    const config = await readTokenizerConfig(place);
    const model = joinPath(place, "spiece.model"), fast = joinPath(place, "tokenizer.json");
    if (await exists(model)) {
      return new T5Tokenizer(readSentencepieceModel(await readBytes(model), model), config, model);
    }
    if (!await exists(fast)) {
      throw new ConfigError(
        `Cannot load ${place} as a T5 tokenizer: it has neither spiece.model nor tokenizer.json`,
      );
    }
    const { vocabulary, addedTokens } = readTokenizerJson(await readJson(fast), fast);
    config.added = new Map([...addedTokens, ...config.added]);
    // The file lists the extra ids among its pieces, so none is made up.
    config.extraIds = 0;
    return new T5Tokenizer(vocabulary, config, fast);
  }

  /**
   * Turns a text into token ids, ended by the end token. Text that spells a special token is that token.
   *
   * @param text The text, as it is: nothing is lower-cased or cleaned here.
   * @throws {UsageError} when `maxLength` is no length, or padding has no length to reach.
   */
  encode(text: string, { maxLength, padding = false, truncation }: EncodeOptions = {}): Encoding {
    const length = maxLength ?? this.modelMaxLength;
    if (length !== Infinity && !(Number.isInteger(length) && length >= 1)) {
      throw new UsageError(`Cannot encode text with maxLength as a whole number from 1 on: ${length}`);
    }
    if (padding && length === Infinity) {
      throw new UsageError(`Cannot pad text as neither maxLength nor model_max_length gives a length: ${length}`);
    }
    const ids = this.#encodeWithTokens(text);
    let truncatedText: string | undefined;
    if (ids.length + 1 > length && (truncation ?? maxLength !== undefined)) {
      truncatedText = this.decode(ids.slice(length - 1));
      ids.length = length - 1;
    }
    ids.push(this.eosTokenId);
    const total = padding ? Math.max(length, ids.length) : ids.length;
    const inputIds = new Int32Array(total).fill(this.padTokenId);
    inputIds.set(ids);
    const attentionMask = new Int32Array(total).fill(1, 0, ids.length);
    return truncatedText === undefined ? { inputIds, attentionMask } : { inputIds, attentionMask, truncatedText };
  }

  /**
   * Turns token ids back into text.
   *
   * @param ids Token ids [L].
   * @param options `skipSpecialTokens`: whether padding, end, unknown and extra tokens are left out.
   * @throws {UsageError} when an id is not in the vocabulary.
   */
  decode(
    ids: ArrayLike<number> & Iterable<number>,
    { skipSpecialTokens = false }: { skipSpecialTokens?: boolean } = {},
  ): string {
    const special = new Set(this.#tokens.values());
    let text = "";
    let bytes: number[] = [];
    const flush = () => {
      if (bytes.length > 0) text += new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
      bytes = [];
    };
    for (const id of ids) {
      const piece = this.#textOf.get(id);
      if (piece === undefined) {
        throw new UsageError(`Cannot decode ids [${ids.length}] as each must be below ${this.vocabSize}: ${id}`);
      }
      if (special.has(id)) {
        if (skipSpecialTokens) continue;
        flush();
        text += piece;
      } else if (this.#vocabulary.pieces[id].kind === "byte") bytes.push(Number(piece.slice(1, -1)));
      else {
        flush();
        text += piece.replaceAll("\u2581", " ");
      }
    }
    flush();
    return this.#vocabulary.whitespace.addDummyPrefix ? text.replace(/^ /, "") : text;
  }

  /** Ids without the end token: the text between special tokens is split on its own, each part as if it were a sentence. */
  #encodeWithTokens(text: string): number[] {
    const ids: number[] = [];
    const add = (part: string) => {
      if (part === "") return;
      const normal = this.#charsmap.normalize(part, this.#vocabulary.whitespace, this.#keep);
      for (const id of this.#unigram.encode(normal)) ids.push(id);
    };
    let end = 0;
    for (const match of text.matchAll(this.#tokenPattern)) {
      add(text.slice(end, match.index));
      ids.push(this.#tokens.get(match[0])!);
      end = match.index + match[0].length;
    }
    add(text.slice(end));
    return ids;
  }
}

/** The tokens that text may spell: the special ones, the model's control pieces, `<extra_id_N>` and those that files add. */
function tokensInText({ pieces }: Vocabulary, config: TokenizerConfig): Map<string, number> {
  const tokens = new Map<string, number>();
  pieces.forEach(({ text, kind }, id) => {
    if (kind === "control" || kind === "unknown") tokens.set(text, id);
  });
  const byText = new Map(pieces.map((piece, id) => [piece.text, id]));
  for (const text of Object.values(config.special)) {
    const id = byText.get(text);
    if (id !== undefined) tokens.set(text, id);
  }
  // T5 counts them down: <extra_id_0> is the last id. 100 is what transformers takes where no file says a number.
  const extraIds = byText.has("<extra_id_0>") ? 0 : config.extraIds ?? (config.added.size > 0 ? 0 : 100);
  for (let i = 0; i < extraIds; i++) tokens.set(`<extra_id_${i}>`, pieces.length + extraIds - 1 - i);
  for (const [text, id] of config.added) tokens.set(text, id);
  let next = largestId(pieces.length, tokens) + 1;
  for (const text of config.additional) {
    if (!tokens.has(text)) tokens.set(text, byText.get(text) ?? next++);
  }
  return tokens;
}

function largestId(pieces: number, tokens: Map<string, number>): number {
  return tokens.values().reduce((a, b) => Math.max(a, b), pieces - 1);
}

/** Finds the longest user-defined piece at an offset; undefined when the model has none. */
function userDefinedMatcher({ pieces }: Vocabulary): ((bytes: Uint8Array, offset: number) => number) | undefined {
  const kept = pieces.filter((piece) => piece.kind === "user-defined")
    .map((piece) => new TextEncoder().encode(piece.text))
    .sort((a, b) => b.length - a.length);
  if (kept.length === 0) return undefined;
  return (bytes, offset) => kept.find((piece) => piece.every((byte, i) => bytes[offset + i] === byte))?.length ?? 0;
}

/** A pattern for any of the texts, the longest first; one that matches nothing when there are none. */
function alternatives(texts: string[]): RegExp {
  const escaped = texts.sort((a, b) => b.length - a.length).map((text) =>
    text.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&")
  );
  return new RegExp(escaped.length > 0 ? escaped.join("|") : "(?!)", "gu");
}
