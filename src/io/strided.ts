// Tensors whose elements do not lie in row-major order: transposed, cut out of a larger one, or with the bytes of each element
// reversed. In: a layout and a way to read the memory that it speaks of. Out: the bytes in row-major order, little-endian.
import { memoryFor } from "./byte_range.ts";
import type { ReadBytes } from "./tensor_table.ts";

/** Where the elements of a tensor lie; all counted in elements. */
export interface Layout {
  /** Bytes of an element: 1, 2, 4 or 8. */
  itemSize: number;
  shape: readonly number[];
  strides: readonly number[];
  offset: number;
  /** Whether each element is stored with its highest byte first. */
  bigEndian: boolean;
}

/** Memory of a tensor that is looked at once: the larger it is, the fewer passes over the tensor. */
const WINDOW_BYTES = 16 * 2 ** 20;

/** The strides of row-major order. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/** The same elements in the same order with as few axes as possible, at least one. */
function merged({ shape, strides }: Layout): { shape: number[]; strides: number[] } {
  const sizes: number[] = [];
  const steps: number[] = [];
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const last = sizes.length - 1;
    if (last >= 0 && steps[last] === strides[axis] * shape[axis]) {
      sizes[last] *= shape[axis];
      steps[last] = strides[axis];
    } else {
      sizes.push(shape[axis]);
      steps.push(strides[axis]);
    }
  }
  return sizes.length > 0 ? { shape: sizes, strides: steps } : { shape: [1], strides: [1] };
}

/** Where the elements [first, last) lie at most: from the lowest place to behind the highest. */
function extent(layout: Layout, first: number, last: number): [low: number, high: number] {
  const { shape, strides } = layout;
  const blocks = rowMajor(shape);
  let low = layout.offset;
  let high = layout.offset;
  let end = last - 1;
  for (let axis = 0; axis < shape.length; axis++) {
    const from = Math.floor(first / blocks[axis]);
    const to = Math.floor(end / blocks[axis]);
    low += from * strides[axis];
    high += to * strides[axis];
    if (from !== to) {
      for (let inner = axis + 1; inner < shape.length; inner++) high += (shape[inner] - 1) * strides[inner];
      break;
    }
    first -= from * blocks[axis];
    end -= to * blocks[axis];
  }
  return [low, high + 1];
}

/** A view of whole units for quick copying: elements of 8 bytes count as two units of 4. */
function unitsOf(bytes: Uint8Array<ArrayBuffer>, unit: number): Uint8Array | Uint16Array | Uint32Array {
  const held = bytes.byteOffset % unit === 0 ? bytes : bytes.slice();
  if (unit === 1) return held;
  const length = held.length / unit;
  return unit === 2
    ? new Uint16Array(held.buffer, held.byteOffset, length)
    : new Uint32Array(held.buffer, held.byteOffset, length);
}

/** Copies those of the elements [first, last) that lie in the window [low, high) to their places in row-major order. */
function gather(
  layout: Layout,
  [first, last]: [number, number],
  window: Uint8Array<ArrayBuffer>,
  [low, high]: [number, number],
  out: Uint8Array<ArrayBuffer>,
): void {
  const { shape, strides, itemSize } = layout;
  const unit = Math.min(itemSize, 4);
  const isPair = itemSize === 8;
  const from = unitsOf(window, unit);
  const to = unitsOf(out, unit);
  const inner = shape[shape.length - 1];
  const step = strides[strides.length - 1];
  const outer = shape.length - 1;
  const index = new Array<number>(outer).fill(0);
  const firstRow = Math.floor(first / inner);
  let base = layout.offset;
  for (let axis = outer - 1, rest = firstRow; axis >= 0; axis--) {
    index[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
    base += index[axis] * strides[axis];
  }
  for (let row = firstRow; row * inner < last; row++) {
    let column = Math.max(0, first - row * inner);
    let end = Math.min(inner, last - row * inner);
    if (step > 0) {
      column = Math.max(column, Math.ceil((low - base) / step));
      end = Math.min(end, Math.floor((high - 1 - base) / step) + 1);
    } else if (base < low || base >= high) {
      end = column;
    }
    for (; column < end; column++) {
      const source = base + column * step - low;
      const target = row * inner + column - first;
      if (isPair) {
        to[2 * target] = from[2 * source];
        to[2 * target + 1] = from[2 * source + 1];
      } else {
        to[target] = from[source];
      }
    }
    for (let axis = outer - 1; axis >= 0; axis--) {
      base += strides[axis];
      if (++index[axis] < shape[axis]) break;
      base -= shape[axis] * strides[axis];
      index[axis] = 0;
    }
  }
}

function reverseEach(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

/**
 * Makes the reader of a tensor in row-major order out of the reader of the memory that it lies in. A tensor that already lies
 * in order is read directly; of another, a bounded window of the memory is held at a time.
 *
 * @param memory Reads bytes of the memory in which the layout counts its elements.
 */
export function inRowMajor(memory: ReadBytes, layout: Layout): ReadBytes {
  const { itemSize, offset, bigEndian } = layout;
  const compact: Layout = { ...layout, ...merged(layout) };
  const isInOrder = compact.shape.length === 1 && (compact.strides[0] === 1 || compact.shape[0] === 1);
  if (isInOrder && (!bigEndian || itemSize === 1)) {
    return (start, length, into) => memory(offset * itemSize + start, length, into);
  }
  const most = WINDOW_BYTES / itemSize;
  return async (start, length, into) => {
    const first = Math.floor(start / itemSize);
    const last = Math.ceil((start + length) / itemSize);
    const fits = into !== undefined && into.byteOffset % 8 === 0;
    const out = memoryFor((last - first) * itemSize, fits ? into : undefined);
    const [low, high] = extent(compact, first, last);
    for (let from = low; from < high; from += most) {
      const to = Math.min(high, from + most);
      const window = await memory(from * itemSize, (to - from) * itemSize);
      gather(compact, [first, last], window, [from, to], out);
    }
    if (bigEndian) reverseEach(out, itemSize);
    return out.subarray(start - first * itemSize, start - first * itemSize + length);
  };
}
