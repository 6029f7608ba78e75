// The storages of torch's pickles: runs of numbers that are kept outside them. In: the names of storage classes, and what a
// pickle says of a storage. Out: StorageRefs.
import { RefusedError } from "./pickle_stack.ts";
import { printable } from "./printable.ts";
import { BYTES_OF, type TensorDType } from "./weights.ts";

/** A value that is carried along without effect. */
export class Inert {
  /** @param what Python's name of its class, or what it is. */
  constructor(readonly what: string) {}
}

/** A run of numbers that is kept outside the pickle. */
export interface StorageRef {
  /** Under which name it is kept, and the name of its class. */
  key: string;
  kind: string;
  /** Bytes that the file must hold of it. */
  byteLength: number;
  /** Bytes of an element as the file counts them, and what the elements are; undefined where that is not known. */
  itemSize: number;
  dtype: TensorDType | undefined;
  /** Where this view of the storage begins, and how long it is, in bytes. */
  viewOffset: number;
  viewLength: number;
}

/** A storage in a value of the pickle. */
export class Storage {
  constructor(readonly ref: StorageRef) {}
}

/** The class of a storage, which says what its elements are. */
export class StorageClass {
  constructor(readonly name: string, readonly itemSize: number, readonly dtype: TensorDType | undefined) {}
}

const STORAGES: Record<string, TensorDType> = {
  Double: "F64",
  Float: "F32",
  Half: "F16",
  BFloat16: "BF16",
  Long: "I64",
  Int: "I32",
  Short: "I16",
  Char: "I8",
  Byte: "U8",
  Bool: "BOOL",
};

/** Sizes of the elements that no TensorDType stands for: they may lie in a checkpoint, but have no numbers here. */
const OTHER_STORAGES: Record<string, number> = {
  ComplexFloat: 8,
  ComplexDouble: 16,
  QInt8: 1,
  QUInt8: 1,
  QInt32: 4,
  QUInt4x2: 1,
  QUInt2x4: 1,
};

/** The class of a storage by its full name; undefined for other names. */
export function storageClass(full: string): StorageClass | undefined {
  const kind = /^torch\.(?:cuda\.|storage\.)?_?(\w+)Storage$/.exec(full)?.[1];
  if (kind === undefined) return undefined;
  if (Object.hasOwn(STORAGES, kind)) return new StorageClass(full, BYTES_OF[STORAGES[kind]], STORAGES[kind]);
  if (kind === "Untyped") return new StorageClass(full, 1, undefined);
  return Object.hasOwn(OTHER_STORAGES, kind) ? new StorageClass(full, OTHER_STORAGES[kind], undefined) : undefined;
}

/** Whether a value is a whole number that is not negative. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What a reference to something outside the pickle means, as both of torch's formats write it. */
export function storageRef(id: unknown): StorageRef | Inert {
  if (!Array.isArray(id)) throw new RefusedError("it refers to something outside by no tuple");
  const [what, type, key, , count, view] = id;
  if (what === "module") return new Inert("a class with its source");
  if (what !== "storage" || (typeof key !== "string" && !isCount(key)) || !isCount(count)) {
    throw new RefusedError("it refers to something outside that is not a storage of torch's");
  }
  if (!(type instanceof StorageClass)) {
    if (type instanceof Inert) return type;
    throw new RefusedError("a storage has no class");
  }
  const { name: kind, itemSize, dtype } = type;
  const byteLength = count * itemSize;
  const ref = { key: String(key), kind, byteLength, itemSize, dtype, viewOffset: 0, viewLength: byteLength };
  if (view === null || view === undefined) return ref;
  const [, offset, length] = Array.isArray(view) ? view : [];
  if (!isCount(offset) || !isCount(length) || offset + length > count) {
    throw new RefusedError(`a view of the storage "${printable(ref.key)}" reaches beyond its ${count} elements`);
  }
  return { ...ref, viewOffset: offset * itemSize, viewLength: length * itemSize };
}
