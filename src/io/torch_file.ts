// Files that torch.save wrote: `.pth`, `.pt`, `.bin`, `.ckpt`. In: a file, a URL or bytes. Out: a WeightSource that reads one
// tensor, or a part of one, at a time. The pickle inside is read as data: nothing in it is imported or called.
import { WeightsError } from "../errors.ts";
import type { ByteSource } from "./byte_range.ts";
import type { OpenOptions } from "./byte_source.ts";
import { NeedsMore, type Wrong } from "./byte_cursor.ts";
import { withSource } from "./opened.ts";
import { readPickle } from "./pickle_reader.ts";
import { printable } from "./printable.ts";
import { inRowMajor } from "./strided.ts";
import { type ReadBytes, type TableEntry, TensorTable } from "./tensor_table.ts";
import { addStorage, readLegacy, type TorchContent } from "./torch_legacy.ts";
import { type TensorRef, torchRules } from "./torch_pickle.ts";
import type { StorageRef } from "./torch_storage.ts";
import { torchState } from "./torch_state.ts";
import { BYTES_OF, type WeightSource } from "./weights.ts";
import { ZipReader } from "./zip_reader.ts";

const LONGEST_PICKLE = 64 * 2 ** 20;

/** How to open a torch file. */
export interface TorchOptions extends OpenOptions {
  /** Whether to read the averaged weights (`state_dict_ema`) in place of the others. */
  ema?: boolean;
}

/**
 * Opens a file of torch.save, in the zip format of today or the one before. The tensors are those of `state_dict` or `model`
 * if there is such an entry, else all; nested names are joined by dots. What else the file holds stands in `metadata`.
 *
 * @param from A path or URL, or opened bytes, which the result then owns and closes.
 * @throws {WeightsError} that names the file and what is wrong in it, or the object that its pickle asks for and must not.
 * @example
 * ```ts
 * import { openTorchFile } from "./torch_file.ts";
 * using weights = await openTorchFile("tests/golden/torch/nested.pth");
 * console.assert(weights.has("blocks.0.attn.qkv.weight"));
 * ```
 */
export function openTorchFile(from: string | URL | ByteSource, options: TorchOptions = {}): Promise<WeightSource> {
  return withSource(from, options, async (source) => {
    const wrong: Wrong = (state) => new WeightsError(`Cannot read ${source.name} as a torch file: ${state}`);
    if (source.size < 4) throw wrong(`it has ${source.size} bytes`);
    const start = await source.read(0, 4);
    const isZip = start[0] === 0x50 && start[1] === 0x4b;
    if (!isZip && start[0] !== 0x80) throw wrong("it begins as neither a zip archive nor a pickle");
    const content = isZip
      ? await readArchive(await ZipReader.open(source, wrong), wrong)
      : await readLegacy(source, wrong);
    const { tensors, metadata } = torchState(content.value, options.ema ?? false, wrong);
    const entries = new Map<string, TableEntry>();
    for (const [name, tensor] of tensors) entries.set(name, entryOf(tensor, content));
    return new TensorTable(source.name, metadata, entries, () => source.close());
  });
}

function entryOf({ dtype, shape, strides, offset, storage, byteLength }: TensorRef, content: TorchContent): TableEntry {
  const layout = { itemSize: BYTES_OF[dtype], shape, strides, offset, bigEndian: content.bigEndian };
  return { dtype, shape, byteLength, read: inRowMajor(content.storage(storage), layout) };
}

async function readArchive(zip: ZipReader, wrong: Wrong): Promise<TorchContent> {
  const pickles = [...zip.members.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw wrong(`its archive has ${pickles.length} members NAME/data.pkl, and one is needed`);
  const [pickle] = pickles;
  const folder = pickle.name.slice(0, -"data.pkl".length);
  if (zip.members.has(`${folder}constants.pkl`)) throw wrong("it is a TorchScript program, not a dict of tensors");
  if (pickle.size > LONGEST_PICKLE) {
    throw wrong(`its pickle has ${pickle.size} bytes, and ${LONGEST_PICKLE} are allowed`);
  }
  const bigEndian = await readByteOrder(zip, folder, wrong);
  const bytes = await zip.reader(pickle)(0, pickle.size);
  const storages = new Map<string, StorageRef>();
  let value: unknown;
  try {
    value = readPickle(bytes, 0, torchRules(wrong, (ref) => addStorage(storages, ref, wrong))).value;
  } catch (error) {
    if (error instanceof NeedsMore) throw wrong(`its pickle of ${bytes.length} bytes ends early`);
    throw error;
  }
  // One reader for each storage, so that tensors that share one look up its place once.
  const readers = new Map<string, ReadBytes>();
  return {
    value,
    bigEndian,
    storage(ref) {
      const member = zip.members.get(`${folder}data/${ref.key}`);
      if (!member) throw wrong(`storage "${printable(ref.key)}" is not in its archive`);
      if (member.size !== ref.byteLength) {
        throw wrong(
          `storage "${printable(ref.key)}" has ${member.size} bytes, and its tensors take ${ref.byteLength}`,
        );
      }
      const read = readers.get(ref.key) ?? zip.reader(member);
      readers.set(ref.key, read);
      return (start, length, into) => read(ref.viewOffset + start, length, into);
    },
  };
}

async function readByteOrder(zip: ZipReader, folder: string, wrong: Wrong): Promise<boolean> {
  const member = zip.members.get(`${folder}byteorder`);
  if (!member) return false;
  const order = new TextDecoder().decode(await zip.reader(member)(0, Math.min(member.size, 16)));
  if (order !== "little" && order !== "big") throw wrong(`its byte order is "${order}", and little and big are known`);
  return order === "big";
}
