// Named tensors of a checkpoint, whatever file format they come from. In: a WeightSource (see safetensors.ts).
// Out: numbers of one tensor, or, at the end of loading, the names that did not match.
import { WeightsError } from "../errors.ts";
import { BLOCK_OF, dequantizeBlocks, isQuantType, type QuantType } from "./gguf_blocks.ts";
import { bf16ToF32, f16ToF32 } from "./half.ts";
export type { QuantType } from "./gguf_blocks.ts";

/** How the elements of a stored tensor are encoded, little-endian. */
export type TensorDType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";

/** Bytes of one element of each dtype. */
export const BYTES_OF: Readonly<Record<TensorDType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** How a checkpoint stores a tensor: each element for itself, or in blocks along the last axis. */
export type StoredDType = TensorDType | QuantType;

/** Bytes of `count` elements, which must fill whole blocks where the dtype has blocks. */
export function bytesFor(dtype: StoredDType, count: number): number {
  return isQuantType(dtype) ? (count / BLOCK_OF[dtype].elements) * BLOCK_OF[dtype].bytes : count * BYTES_OF[dtype];
}

/** What a checkpoint says of one tensor. */
export interface TensorInfo {
  name: string;
  dtype: StoredDType;
  shape: number[];
  byteLength: number;
}

/** A checkpoint: tensors by name, read when asked for. */
export interface WeightSource extends Disposable {
  /** The file or folder, for messages. */
  readonly name: string;
  /** What the file says of itself besides its tensors. */
  readonly metadata: Record<string, string>;
  /** All names, sorted. */
  names(): string[];
  has(name: string): boolean;
  /** Dtype, shape and size; a WeightsError when there is no such tensor. */
  info(name: string): TensorInfo;
  /**
   * The bytes `[start, end)` of the tensor, all of them when left out. The result may be a view: do not write to it.
   *
   * @param into Memory that may serve for the result, if it is large enough. Use what is returned.
   */
  read(name: string, ...range: ReadRange): Promise<Uint8Array<ArrayBuffer>>;
}

/** What follows the name in a call of `WeightSource.read`. */
export type ReadRange = [start?: number, end?: number, into?: Uint8Array<ArrayBuffer>];

/** A tensor as one reads it: `"x" F32 [2, 3]`. */
export function describe(info: TensorInfo): string {
  return `"${short(info.name)}" ${info.dtype} [${info.shape.join(", ")}]`;
}

/**
 * Reads a tensor as f32: f16 and bf16 widen exactly, blocks decode as ggml does, f64 and integers round to the
 * nearest f32.
 *
 * @throws {WeightsError} when there is no such tensor.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * import { readFloats } from "./weights.ts";
 * const file = encodeSafetensors({ w: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2.5) } });
 * using weights = await openSafetensors(bytesOf("example", file));
 * console.assert((await readFloats(weights, "w"))[1] === 2.5);
 * ```
 */
export async function readFloats(source: WeightSource, name: string): Promise<Float32Array<ArrayBuffer>> {
  return floatsOf(source.info(name).dtype, await source.read(name));
}

/**
 * Decodes bytes of a tensor, or of a part of it, to f32. The result may share memory with the bytes.
 *
 * @param bytes Whole elements or blocks of `dtype`, little-endian.
 */
export function floatsOf(dtype: StoredDType, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  if (isQuantType(dtype)) return dequantizeBlocks(dtype, bytes);
  const held = aligned(bytes, BYTES_OF[dtype]);
  const { buffer, byteOffset } = held;
  const length = held.length / BYTES_OF[dtype];
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, length);
    case "F16":
      return f16ToF32(new Uint16Array(buffer, byteOffset, length));
    case "BF16":
      return bf16ToF32(new Uint16Array(buffer, byteOffset, length));
    case "F64":
      return new Float32Array(new Float64Array(buffer, byteOffset, length));
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    default:
      return new Float32Array(intsOf(dtype, held));
  }
}

/**
 * Reads a tensor of integers or booleans as numbers.
 *
 * @throws {WeightsError} when there is no such tensor, it holds floats, or an integer is beyond what a number holds.
 */
export async function readInts(source: WeightSource, name: string): Promise<number[]> {
  const info = source.info(name);
  const cannot = `Cannot read ${describe(info)} of ${source.name} as whole numbers`;
  if (isQuantType(info.dtype) || info.dtype.includes("F")) throw new WeightsError(`${cannot}: it holds ${info.dtype}`);
  const bytes = await source.read(name);
  if (info.dtype !== "I64") return Array.from(intsOf(info.dtype, bytes));
  const { buffer, byteOffset, length } = aligned(bytes, 8);
  return Array.from(new BigInt64Array(buffer, byteOffset, length / 8), (value) => {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new WeightsError(`${cannot}: it holds ${value}`);
    return number;
  });
}

function intsOf(dtype: TensorDType, bytes: Uint8Array<ArrayBuffer>): Int32Array | Int16Array | Int8Array | Uint8Array {
  const { buffer, byteOffset, length } = aligned(bytes, BYTES_OF[dtype]);
  if (dtype === "I32") return new Int32Array(buffer, byteOffset, length / 4);
  if (dtype === "I16") return new Int16Array(buffer, byteOffset, length / 2);
  if (dtype === "I8") return new Int8Array(buffer, byteOffset, length);
  return new Uint8Array(buffer, byteOffset, length);
}

/** The same bytes at an address that a typed array of `size` bytes an element may start at. */
function aligned(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

const LISTED = 8;

/**
 * A checkpoint that remembers what a model asked for, so that a wrong file is told by all of its names at once.
 * `expect` what the model has, then `finish`; only then read. `info` and `read` count as asking, too.
 *
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * import { NameChecker } from "./weights.ts";
 * const file = encodeSafetensors({ w: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2.5) } });
 * using weights = new NameChecker(await openSafetensors(bytesOf("example", file)), "a model");
 * weights.expect("w", [2]);
 * weights.finish();
 * ```
 */
export class NameChecker implements WeightSource {
  readonly name: string;
  readonly metadata: Record<string, string>;
  readonly #source: WeightSource;
  readonly #model: string;
  readonly #asked = new Set<string>();
  readonly #missing = new Set<string>();
  readonly #misshapen: string[] = [];

  /** @param model What is being loaded, for the message: a class name. */
  constructor(source: WeightSource, model: string) {
    this.#source = source;
    this.#model = model;
    this.name = source.name;
    this.metadata = source.metadata;
  }

  names(): string[] {
    return this.#source.names();
  }

  /** Whether the tensor is there; this is not asking for it. */
  has(name: string): boolean {
    return this.#source.has(name);
  }

  /**
   * Asks for a tensor, and notes when it is missing or has another shape, which `finish` tells.
   *
   * @param shape What the model needs; any shape when left out.
   * @returns whether the tensor is there.
   */
  expect(name: string, shape?: readonly number[]): boolean {
    this.#asked.add(name);
    if (!this.#source.has(name)) {
      this.#missing.add(name);
      return false;
    }
    const stored = this.#source.info(name).shape;
    if (shape && (shape.length !== stored.length || shape.some((size, axis) => size !== stored[axis]))) {
      this.#misshapen.push(`${short(name)} is [${stored.join(", ")}] and must be [${shape.join(", ")}]`);
    }
    return true;
  }

  info(name: string): TensorInfo {
    this.#asked.add(name);
    return this.#source.info(name);
  }

  read(name: string, ...range: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    this.#asked.add(name);
    return this.#source.read(name, ...range);
  }

  /**
   * Ends the checking.
   *
   * @param ignore Names that may be left over: those that match.
   * @throws {WeightsError} when names are missing or left over, or shapes differ.
   */
  finish(ignore: RegExp[] = []): void {
    const left = this.names().filter((name) => !this.#asked.has(name) && !ignore.some((rule) => rule.test(name)));
    const faults = [
      some("missing", [...this.#missing].map(short)),
      some("of another shape", this.#misshapen),
      some("left over", left.map(short)),
    ].filter((fault) => fault !== "");
    if (faults.length === 0) return;
    throw new WeightsError(
      `Cannot load ${this.#model} from ${this.name} as the names must match: ${faults.join("; ")}`,
    );
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }
}

function some(label: string, items: string[]): string {
  if (items.length === 0) return "";
  const more = items.length > LISTED ? `, and ${items.length - LISTED} more` : "";
  return `${items.length} ${label}: ${items.slice(0, LISTED).join(", ")}${more}`;
}

/** A name of a stranger's file, cut so that a message stays a line. */
function short(name: string): string {
  // deno-lint-ignore no-control-regex
  const plain = name.replace(/[\x00-\x1f\x7f]/g, "?");
  return plain.length > 120 ? `${plain.slice(0, 117)}...` : plain;
}
