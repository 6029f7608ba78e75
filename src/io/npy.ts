// NumPy's array files. In: bytes of a `.npy` file: a magic number, a header that is a dict in Python's syntax, data. Out: dtype,
// shape and data in row-major order, little-endian; and the way back.
import { WeightsError } from "../errors.ts";
import type { Wrong } from "./byte_cursor.ts";
import { printable } from "./printable.ts";
import type { TensorData } from "./safetensors.ts";
import type { Layout } from "./strided.ts";
import { inRowMajor, rowMajor } from "./strided.ts";
import { BYTES_OF, type TensorDType } from "./weights.ts";

/** An array as it stands in a file. */
export interface NpyArray {
  dtype: TensorDType;
  shape: number[];
  /** Its elements in row-major order, little-endian: what `floatsOf` takes. */
  data: Uint8Array<ArrayBuffer>;
}

/** What the header of an array says. */
export interface NpyHeader {
  dtype: TensorDType;
  shape: number[];
  byteLength: number;
  layout: Layout;
  /** Where the data begins. */
  dataStart: number;
}

const MAGIC = "\x93NUMPY";
const LONGEST_HEADER = 65536;
const MOST_AXES = 64;

const DTYPES: Readonly<Record<string, TensorDType>> = {
  f8: "F64",
  f4: "F32",
  f2: "F16",
  i8: "I64",
  i4: "I32",
  i2: "I16",
  i1: "I8",
  u1: "U8",
  b1: "BOOL",
};

const LITERAL = /^\{\s*(.*?)\s*,?\s*\}\s*$/s;
const MEMBER = /^'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\d\sL,]*\))\s*(?:,\s*|$)/;

/** How many bytes the header takes, its first 12 given; all there are when they are no header. */
export function npyHeaderLength(start: Uint8Array, wrong: Wrong): number {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  if (start.length < 12 || String.fromCharCode(...start.subarray(0, 6)) !== MAGIC) {
    throw wrong("it does not begin as an array of NumPy");
  }
  const version = start[6];
  if (version < 1 || version > 3) throw wrong(`its version is ${version}, and 1 to 3 are known`);
  const length = version === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
  if (length > LONGEST_HEADER) throw wrong(`its header would be ${length} bytes, and ${LONGEST_HEADER} are allowed`);
  return length;
}

/**
 * Parses the header of an array.
 *
 * @param bytes At least the whole header.
 * @param size Bytes of the file, which the data must fill exactly.
 * @throws what `wrong` makes.
 */
export function parseNpyHeader(bytes: Uint8Array, size: number, wrong: Wrong): NpyHeader {
  const dataStart = npyHeaderLength(bytes, wrong);
  if (dataStart > bytes.length) {
    throw wrong(`its header would end at ${dataStart}, and the file ends at ${bytes.length}`);
  }
  const text = new TextDecoder().decode(bytes.subarray(bytes[6] === 1 ? 10 : 12, dataStart));
  const members = new Map<string, string>();
  let rest = LITERAL.exec(text)?.[1];
  while (rest) {
    const [whole, key, value] = MEMBER.exec(rest) ?? [];
    if (whole === undefined || members.has(key)) rest = undefined;
    else {
      members.set(key, value);
      rest = rest.slice(whole.length);
    }
  }
  const [descr, fortran, sizes] = ["descr", "fortran_order", "shape"].map((key) => members.get(key));
  if (
    rest === undefined || !descr?.startsWith("'") || !/^(True|False)$/.test(fortran ?? "") || !sizes?.startsWith("(")
  ) {
    throw wrong(`its header is not that of a plain array: ${printable(text.trim())}`);
  }
  const [, order, kind] = /^'([<>|=])?(\w+)'$/.exec(descr) ?? [];
  if (kind === undefined || !Object.hasOwn(DTYPES, kind)) {
    const hint = kind?.startsWith("O") ? " (objects, which are pickled)" : "";
    throw wrong(`its elements are ${printable(descr, 40)}${hint}, and ${Object.keys(DTYPES).join(" ")} are known`);
  }
  const dtype = DTYPES[kind];
  const shape = (sizes.match(/\d+/g) ?? []).map(Number);
  const count = shape.includes(0) ? 0 : shape.reduce((product, axis) => product * axis, 1);
  const itemSize = BYTES_OF[dtype];
  if (shape.length > MOST_AXES || count * itemSize !== size - dataStart) {
    throw wrong(
      `its shape ${printable(sizes)} needs ${count * itemSize} bytes, and ${size - dataStart} follow the header`,
    );
  }
  const strides = fortran === "True" ? rowMajor(shape.toReversed()).reverse() : rowMajor(shape);
  const layout = { itemSize, shape, strides, offset: 0, bigEndian: order === ">" };
  return { dtype, shape, byteLength: count * itemSize, layout, dataStart };
}

/**
 * Reads an array of NumPy: floats of 2, 4 and 8 bytes, integers of 1 to 8 bytes, unsigned bytes and booleans, in C or Fortran
 * order, of any endianness.
 *
 * @param name What messages call these bytes.
 * @throws {WeightsError} when they are something else, such as objects, which only Python could unpickle.
 * @example
 * ```ts
 * import { readNpy, writeNpy } from "./npy.ts";
 * const { shape } = await readNpy(writeNpy({ dtype: "F32", shape: [2, 1], data: Float32Array.of(1, 2) }));
 * console.assert(shape.join() === "2,1");
 * ```
 */
export async function readNpy(bytes: Uint8Array<ArrayBuffer>, name = "an array"): Promise<NpyArray> {
  const wrong: Wrong = (state) => new WeightsError(`Cannot read ${name} as npy: ${state}`);
  const { dtype, shape, byteLength, layout, dataStart } = parseNpyHeader(bytes, bytes.length, wrong);
  const memory = (start: number, length: number) => {
    return Promise.resolve(bytes.subarray(dataStart + start, dataStart + start + length));
  };
  const data = byteLength === 0 ? new Uint8Array(0) : await inRowMajor(memory, layout)(0, byteLength);
  return { dtype, shape, data };
}

/**
 * Writes an array as NumPy does, in C order.
 *
 * @throws {WeightsError} when shape and data do not fit, or NumPy has no such dtype, as it has none for BF16.
 */
export function writeNpy({ dtype, shape, data }: TensorData): Uint8Array<ArrayBuffer> {
  const kind = Object.entries(DTYPES).find(([, known]) => known === dtype)?.[0];
  const tensor = `Cannot write a tensor ${dtype} [${shape.join(", ")}] as npy`;
  if (kind === undefined) throw new WeightsError(`${tensor}: NumPy knows ${Object.values(DTYPES).join(" ")}`);
  const needed = shape.reduce((product, size) => product * size, BYTES_OF[dtype]);
  if (needed !== data.byteLength) {
    throw new WeightsError(`${tensor}: its ${needed} bytes are needed and ${data.byteLength} were given`);
  }
  const descr = `${BYTES_OF[dtype] === 1 ? "|" : "<"}${kind}`;
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  // The data starts at a multiple of 64, and the header ends with a new line.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const file = new Uint8Array(length + needed).fill(32, 10, length);
  file.set(Array.from(MAGIC, (sign) => sign.charCodeAt(0)));
  file.set([1, 0, (length - 10) & 255, (length - 10) >> 8], 6);
  file.set(new TextEncoder().encode(text), 10);
  file[length - 1] = 10;
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), length);
  return file;
}
