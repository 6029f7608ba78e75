// The file format of torch before 1.6: pickles one behind the other (a magic number, a version, facts of the machine, the
// value, the keys of its storages), then each storage: its length in elements (i64) and its bytes. In: a ByteSource. Out: the
// value, and where the storages lie.
import type { ByteSource } from "./byte_range.ts";
import { ByteCursor, parseGrowing, type Wrong } from "./byte_cursor.ts";
import { readPickle } from "./pickle_reader.ts";
import { printable } from "./printable.ts";
import { torchRules } from "./torch_pickle.ts";
import type { StorageRef } from "./torch_storage.ts";
import type { ReadBytes } from "./tensor_table.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const LONGEST_PICKLE = 64 * 2 ** 20;

/** What a torch file holds, whichever of its formats it has. */
export interface TorchContent {
  value: unknown;
  bigEndian: boolean;
  /** Makes the reader of a storage; throws when the file does not hold it. */
  storage(ref: StorageRef): ReadBytes;
}

/**
 * Reads the pickles of a legacy file.
 *
 * @throws {WeightsError} when the file is broken, or is a pickle that torch did not write.
 */
export async function readLegacy(source: ByteSource, wrong: Wrong): Promise<TorchContent> {
  const { value, keys, storages, isLittle, end } = await parseGrowing(source, 0, LONGEST_PICKLE, wrong, (bytes) => {
    const storages = new Map<string, StorageRef>();
    const rules = torchRules(wrong, (ref) => addStorage(storages, ref, wrong));
    const magic = readPickle(bytes, 0, rules);
    if (magic.value !== MAGIC) throw wrong("it is a pickle, but not one of torch: its magic number is missing");
    const version = readPickle(bytes, magic.end, rules);
    if (version.value !== VERSION) {
      throw wrong(`its version is ${printable(String(version.value), 40)}, and ${VERSION} is known`);
    }
    const machine = readPickle(bytes, version.end, rules);
    const isLittle = !(machine.value instanceof Map) || machine.value.get("little_endian") !== false;
    const value = readPickle(bytes, machine.end, rules);
    const keys = readPickle(bytes, value.end, rules);
    return { value: value.value, keys: keys.value, storages, isLittle, end: keys.end };
  });
  if (!Array.isArray(keys)) throw wrong("the keys of its storages are not a list");
  const places = new Map<string, number>();
  let at = end;
  for (const key of keys.map(String)) {
    const ref = storages.get(key);
    if (!ref || places.has(key)) {
      throw wrong(`its list of storages names "${printable(key)}", which no tensor uses once`);
    }
    places.set(key, at + 8);
    at += 8 + ref.byteLength;
  }
  if (at !== source.size) throw wrong(`its storages would end at ${at}, and the file ends at ${source.size}`);
  return { value, bigEndian: !isLittle, storage: (ref) => storageReader(source, ref, places, isLittle, wrong) };
}

/** Two tensors of one storage must agree on its size. */
export function addStorage(storages: Map<string, StorageRef>, ref: StorageRef, wrong: Wrong): void {
  const known = storages.get(ref.key);
  if (known && known.byteLength !== ref.byteLength) {
    throw wrong(
      `storage "${printable(ref.key)}" has ${known.byteLength} bytes for one tensor, ${ref.byteLength} for another`,
    );
  }
  if (!known) storages.set(ref.key, ref);
}

function storageReader(
  source: ByteSource,
  ref: StorageRef,
  places: Map<string, number>,
  isLittle: boolean,
  wrong: Wrong,
): ReadBytes {
  const place = places.get(ref.key);
  if (place === undefined) throw wrong(`storage "${printable(ref.key)}" is not in its list of storages`);
  let checked: Promise<void> | undefined;
  const check = async () => {
    const prefix = (await source.read(place - 8, 8)).slice();
    const count = new ByteCursor(isLittle ? prefix : prefix.reverse()).u64();
    if (count * ref.itemSize !== ref.byteLength) {
      throw wrong(`the storage at ${place - 8} states ${count} elements, and its tensors take ${ref.byteLength} bytes`);
    }
  };
  return async (start, length, into) => {
    await (checked ??= check());
    return await source.read(place + ref.viewOffset + start, length, into);
  };
}
