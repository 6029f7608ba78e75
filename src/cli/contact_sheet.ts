// A contact sheet: many pictures small on one. In: pictures. Out: a picture of them in rows, on a dark ground.

import { Image } from "../io/image.ts";

const LARGEST_CELL = 512; // pixels a side
const GAP = 8;
const GROUND = 24; // a grey

/** One channel's mean over a square of `factor` pixels a side; squares at the edge are smaller. */
function shrink({ width, height, pixels }: Image, factor: number): Image {
  if (factor === 1) return new Image({ width, height, pixels });
  const [across, down] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const small = new Uint8Array(across * down * 3);
  for (let y = 0, to = 0; y < down; y++) {
    const [top, bottom] = [y * factor, Math.min(height, (y + 1) * factor)];
    for (let x = 0; x < across; x++) {
      const [left, right] = [x * factor, Math.min(width, (x + 1) * factor)];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) sum += pixels[(row * width + column) * 3 + channel];
        }
        small[to++] = Math.round(sum / ((bottom - top) * (right - left)));
      }
    }
  }
  return new Image({ width: across, height: down, pixels: small });
}

/** Makes a sheet out of pictures one after another, keeping no more of each than its cell. */
export class ContactSheet {
  readonly #cells: Image[] = [];

  /** Puts a picture behind the others; one of more than 512 pixels a side is shrunk by a whole factor. */
  add(picture: Image): void {
    this.#cells.push(shrink(picture, Math.ceil(Math.max(picture.width, picture.height) / LARGEST_CELL)));
  }

  /** How many pictures are on it. */
  get count(): number {
    return this.#cells.length;
  }

  /**
   * The sheet: as near to a square as its cells allow, each picture in the middle of its cell.
   *
   * @param metadata What the file will say of itself.
   */
  picture(metadata: Record<string, string> = {}): Image {
    const cells = this.#cells;
    const [cellWidth, cellHeight] = [
      Math.max(...cells.map(({ width }) => width)),
      Math.max(...cells.map(({ height }) => height)),
    ];
    const columns = Math.ceil(Math.sqrt(cells.length * cellHeight / cellWidth)),
      rows = Math.ceil(cells.length / columns);
    const [width, height] = [columns * (cellWidth + GAP) + GAP, rows * (cellHeight + GAP) + GAP];
    const pixels = new Uint8Array(width * height * 3).fill(GROUND);
    cells.forEach((cell, index) => {
      const column = index % columns, row = Math.floor(index / columns);
      const left = GAP + column * (cellWidth + GAP) + Math.floor((cellWidth - cell.width) / 2);
      const top = GAP + row * (cellHeight + GAP) + Math.floor((cellHeight - cell.height) / 2);
      for (let y = 0; y < cell.height; y++) {
        const line = cell.pixels.subarray(y * cell.width * 3, (y + 1) * cell.width * 3);
        pixels.set(line, ((top + y) * width + left) * 3);
      }
    });
    return new Image({ width, height, pixels, metadata });
  }
}
