// What torch's pickles speak of. In: the names, calls and storage references of a pickle. Out: TensorRefs that say where the
// numbers of each tensor lie, plain values, and Inert for what has no meaning here. Nothing is imported or called.
import type { Wrong } from "./byte_cursor.ts";
import { judgeName } from "./pickle_names.ts";
import type { PickleRules } from "./pickle_reader.ts";
import { RefusedError } from "./pickle_stack.ts";
import { printable } from "./printable.ts";
import { rowMajor } from "./strided.ts";
import { Inert, isCount, Storage, storageClass, type StorageRef, storageRef } from "./torch_storage.ts";
import { BYTES_OF, type TensorDType } from "./weights.ts";

/** A tensor: a view of a storage; offset and strides are counted in elements. */
export class TensorRef {
  constructor(
    readonly storage: StorageRef,
    readonly dtype: TensorDType,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly offset: number,
  ) {}

  get byteLength(): number {
    return this.shape.includes(0) ? 0 : this.shape.reduce((product, size) => product * size, BYTES_OF[this.dtype]);
  }
}

type Call = (args: readonly unknown[]) => unknown;

/** A name that has a meaning when it is called. */
class Known {
  constructor(readonly name: string, readonly call: Call) {}
}

const DTYPES: Record<string, TensorDType> = {
  "torch.float64": "F64",
  "torch.double": "F64",
  "torch.float32": "F32",
  "torch.float": "F32",
  "torch.float16": "F16",
  "torch.half": "F16",
  "torch.bfloat16": "BF16",
  "torch.int64": "I64",
  "torch.int32": "I32",
  "torch.int16": "I16",
  "torch.int8": "I8",
  "torch.uint8": "U8",
  "torch.bool": "BOOL",
};

const refuse = (state: string) => new RefusedError(state);

function counts(value: unknown, what: string): readonly number[] {
  if (!Array.isArray(value) || value.length > 64 || !value.every(isCount)) {
    throw refuse(`a tensor's ${what} is not a tuple of whole numbers`);
  }
  return value;
}

/** Tensors that lie in less memory than they have elements (stride 0) are taken up to this size. */
const LARGEST_EXPANDED = 16 * 2 ** 20;

function tensor(
  storage: unknown,
  offset: unknown,
  sizes: unknown,
  steps: unknown,
  dtype?: TensorDType,
  metadata?: unknown,
): TensorRef | Inert {
  if (storage instanceof Inert) return new Inert(`a tensor in ${storage.what}`);
  if (!(storage instanceof Storage)) throw refuse("a tensor has no storage");
  if (!isCount(offset)) throw refuse("a tensor's offset is not a whole number");
  const shape = counts(sizes, "shape");
  const strides = steps === undefined ? rowMajor(shape) : counts(steps, "strides");
  if (shape.length !== strides.length) throw refuse(`a tensor has ${shape.length} axes and ${strides.length} strides`);
  if (metadata instanceof Map && [...metadata.values()].some((flag) => flag === true)) {
    throw refuse("a tensor is marked as conjugated or negated, which is not supported");
  }
  const known = dtype ?? storage.ref.dtype;
  if (known === undefined) return new Inert(`a tensor in ${storage.ref.kind}`);
  const made = new TensorRef(storage.ref, known, shape, strides, offset);
  if (shape.includes(0)) return made;
  const { viewLength } = storage.ref;
  const last = shape.reduce((place, size, axis) => place + (size - 1) * strides[axis], offset);
  const shown = `a tensor ${known} [${shape.join(", ")}] with the strides [${strides.join(", ")}] at ${offset}`;
  if ((last + 1) * BYTES_OF[known] > viewLength) {
    throw refuse(`${printable(shown, 300)} reaches beyond its storage of ${viewLength} bytes`);
  }
  if (made.byteLength > Math.max(viewLength, LARGEST_EXPANDED)) {
    throw refuse(`${printable(shown, 300)} would expand a storage of ${viewLength} bytes`);
  }
  return made;
}

/** The dtype that an argument names; undefined for one that is not known. */
function dtypeOf(value: unknown): TensorDType | undefined {
  return value instanceof Inert && Object.hasOwn(DTYPES, value.what) ? DTYPES[value.what] : undefined;
}

function parameter([value]: readonly unknown[]): unknown {
  if (value instanceof TensorRef || value instanceof Inert) return value;
  throw refuse("a parameter is made of something that is not a tensor");
}

function dict([items]: readonly unknown[]): unknown {
  if (items instanceof Map) return new Map(items);
  if (!Array.isArray(items)) return new Map();
  const isPair = (item: unknown) => Array.isArray(item) && item.length === 2;
  if (!items.every(isPair)) throw refuse("a dict is made of something that is not pairs");
  return new Map(items as [unknown, unknown][]);
}

function set([items]: readonly unknown[]): unknown {
  if (items === undefined || Array.isArray(items) || items instanceof Set) return new Set(items);
  throw refuse("a set is made of something that is not a list");
}

function encode([text, encoding]: readonly unknown[]): unknown {
  if (typeof text !== "string" || !/^latin-?1$/.test(String(encoding))) {
    throw refuse("it encodes what is not latin-1 text");
  }
  return Uint8Array.from(text, (sign) => sign.charCodeAt(0));
}

const TENSOR_CALLS: Record<string, Call> = {
  "torch._utils._rebuild_tensor": ([storage, offset, shape, strides]) => tensor(storage, offset, shape, strides),
  "torch._utils._rebuild_tensor_v2": ([storage, offset, shape, strides, , , metadata]) =>
    tensor(storage, offset, shape, strides, undefined, metadata),
  "torch._utils._rebuild_tensor_v3": ([storage, offset, shape, strides, , , dtype, metadata]) => {
    const known = dtypeOf(dtype);
    if (known) return tensor(storage, offset, shape, strides, known, metadata);
    return new Inert(dtype instanceof Inert ? `a tensor of ${dtype.what}` : "a tensor of no dtype");
  },
};

const CALLS: Record<string, Call> = {
  ...TENSOR_CALLS,
  "torch._utils._rebuild_parameter": parameter,
  "torch._utils._rebuild_parameter_with_state": parameter,
  "torch.nn.parameter.Parameter": parameter,
  "torch._tensor._rebuild_from_type_v2": ([rebuild, , args]) => {
    const call = rebuild instanceof Known && Object.hasOwn(TENSOR_CALLS, rebuild.name) ? rebuild.call : undefined;
    if (!call || !Array.isArray(args)) throw refuse("a tensor is rebuilt by something else than torch's functions");
    return call(args);
  },
  "torch.Size": ([items]) => Object.freeze([...counts(items, "size")]),
  "collections.OrderedDict": dict,
  "collections.Counter": dict,
  "collections.defaultdict": () => new Map(),
  "builtins.dict": dict,
  "builtins.set": set,
  "builtins.frozenset": set,
  "_codecs.encode": encode,
};

/** Calls may copy what they are given, which a pickle of few bytes can ask for many times over. */
const MOST_COPIED = 2_000_000;

/** How many items a call copies at most; of text, sixteen signs weigh as much as an item. */
function weightOf(value: unknown): number {
  if (typeof value === "string") return value.length / 16;
  return value instanceof Map || value instanceof Set ? value.size : Array.isArray(value) ? value.length : 0;
}

/**
 * The meaning of a pickle that torch wrote.
 *
 * @param onStorage Told each storage that the pickle refers to.
 */
export function torchRules(wrong: Wrong, onStorage: (storage: StorageRef) => void): PickleRules {
  const seen = new Map<string, unknown>();
  let copied = 0;
  const meaningOf = (module: string, name: string): unknown => {
    const full = `${module.replace(/^__builtin__$/, "builtins")}.${name}`;
    const call = Object.hasOwn(CALLS, full) ? CALLS[full] : undefined;
    if (call) return new Known(full, call);
    const storage = storageClass(full);
    if (storage) return storage;
    if (judgeName(module, name) === "inert") return new Inert(full);
    throw refuse(
      `it names ${printable(full)}, which is refused: a checkpoint holds tensors, numbers, text and containers of them`,
    );
  };
  return {
    wrong,
    global(module, name) {
      const key = `${module}\n${name}`;
      const known = seen.get(key) ?? meaningOf(module, name);
      seen.set(key, known);
      return known;
    },
    call(callable, args) {
      if (callable instanceof Known) {
        copied += weightOf(args[0]);
        if (copied > MOST_COPIED) throw refuse(`its calls copy more than ${MOST_COPIED} items`);
        return callable.call(args);
      }
      if (callable instanceof Inert) return new Inert(callable.what);
      throw refuse("it calls something that is not a name");
    },
    build(value) {
      // Attributes of a dict (`_metadata` of a state dict), of a tensor or of an inert value carry no numbers.
      if (value instanceof Map || value instanceof TensorRef || value instanceof Inert || value instanceof Set) return;
      throw refuse("it sets attributes of something that has none");
    },
    persistent(id) {
      const ref = storageRef(id);
      if (ref instanceof Inert) return ref;
      onStorage(ref);
      return new Storage(ref);
    },
    swallows: (value) => value instanceof Inert,
  };
}
