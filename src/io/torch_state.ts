// Which tensors of a torch file are the weights. In: the value of its pickle. Out: tensors by flat names, and a line of text
// for everything beside them.
import type { Wrong } from "./byte_cursor.ts";
import { printable } from "./printable.ts";
import { TensorRef } from "./torch_pickle.ts";
import { Inert } from "./torch_storage.ts";

/** The tensors of a file, and what else it holds. */
export interface TorchState {
  tensors: Map<string, TensorRef>;
  metadata: Record<string, string>;
}

/** Where trainers put the weights; the first that is there is taken. */
const WEIGHT_KEYS = ["state_dict", "model", "module", "state_dict_ema"];
/** Where they put the average of the weights over the steps. */
const EMA_KEYS = ["state_dict_ema", "model_ema", "ema", "ema_state_dict"];

const DEEPEST = 32;
const MOST_VALUES = 400_000;
const LONGEST_NAME = 512;
const LONGEST_NAMES = 16_000_000;
const LISTED = 100;

/**
 * Finds the weights in the value of a torch file: in one of the entries where trainers put them, else in all of it.
 *
 * @param ema Whether the averaged weights are wanted.
 * @throws {WeightsError} when there are no tensors, or no averaged ones.
 */
export function torchState(root: unknown, ema: boolean, wrong: Wrong): TorchState {
  const isTree = (value: unknown) => value instanceof Map || Array.isArray(value) || value instanceof TensorRef;
  if (!isTree(root)) throw wrong(`it holds ${describeValue(root)}, not a dict of tensors`);
  const dict = root instanceof Map ? root : undefined;
  const key = (ema ? EMA_KEYS : WEIGHT_KEYS).find((key) => dict?.get(key) instanceof Map);
  if (ema && key === undefined) {
    throw wrong(`it has no averaged weights: none of ${EMA_KEYS.join(", ")} is among ${keysOf(dict)}`);
  }
  const state: TorchState = { tensors: new Map(), metadata: Object.create(null) };
  if (key !== undefined) {
    for (const [other, value] of dict!) if (other !== key) note(state, nameOf(other), value);
    state.metadata["state_dict"] = key;
  }
  new Flattener(state, wrong).add(key === undefined ? root : dict!.get(key), "", 0);
  if (state.tensors.size === 0) {
    throw wrong(`it holds no tensors: ${key ?? "it"} is ${describeValue(dict?.get(key) ?? root)}`);
  }
  return state;
}

class Flattener {
  #values = 0;
  #signs = 0;

  constructor(private readonly state: TorchState, private readonly wrong: Wrong) {}

  /** Adds a value under a name, and what it contains under names that go on with a dot. */
  add(value: unknown, name: string, depth: number): void {
    // A dict that contains itself, or one that contains another many times over and over, has no end but these.
    if (depth > DEEPEST) throw this.wrong(`its dicts nest deeper than ${DEEPEST} levels, at ${printable(name)}`);
    if (++this.#values > MOST_VALUES) throw this.wrong(`its dicts hold more than ${MOST_VALUES} values`);
    if (name.length > LONGEST_NAME) throw this.wrong(`a name has more than ${LONGEST_NAME} signs: ${printable(name)}`);
    if (value instanceof TensorRef) {
      const full = name === "" ? "tensor" : name;
      this.#signs += full.length;
      if (this.#signs > LONGEST_NAMES) {
        throw this.wrong(`the names of its tensors have more than ${LONGEST_NAMES} signs`);
      }
      if (this.state.tensors.has(full)) throw this.wrong(`the name ${printable(full)} stands twice`);
      this.state.tensors.set(full, value);
    } else if (value instanceof Map) {
      for (const [key, inner] of value) this.add(inner, join(name, nameOf(key)), depth + 1);
    } else if (Array.isArray(value)) {
      value.forEach((inner, i) => this.add(inner, join(name, String(i)), depth + 1));
    } else {
      note(this.state, name, value);
    }
  }
}

const join = (outer: string, inner: string) => (outer === "" ? inner : `${outer}.${inner}`);

function nameOf(key: unknown): string {
  if (typeof key === "string") return key;
  return typeof key === "number" || typeof key === "boolean" || typeof key === "bigint"
    ? String(key)
    : describeValue(key);
}

/** Lists a value that is no weight. */
function note(state: TorchState, name: string, value: unknown): void {
  if (Object.keys(state.metadata).length < LISTED) state.metadata[printable(name)] = describeValue(value);
}

function keysOf(dict: Map<unknown, unknown> | undefined): string {
  const keys = [...dict?.keys() ?? []].map((key) => printable(nameOf(key)));
  return keys.length > 8 ? `${keys.slice(0, 8).join(", ")} and ${keys.length - 8} more` : keys.join(", ") || "nothing";
}

/** A value as one line: scalars as they are, the rest by what it is. */
function describeValue(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "string") return printable(value);
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Set) return `a set of ${value.size}`;
  if (Array.isArray(value)) return `${Object.isFrozen(value) ? "a tuple" : "a list"} of ${value.length}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (value instanceof TensorRef) return `a tensor ${value.dtype} [${value.shape.join(", ")}]`;
  if (value instanceof Inert) return printable(value.what);
  return typeof value === "object" ? "an object" : String(value);
}
