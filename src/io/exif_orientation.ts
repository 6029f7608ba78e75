// How a camera was held. In: the EXIF block of a picture file. Out: a number from 1 to 8, and pixels turned as it says.

const ORIENTATION = 0x0112;
const SHORT = 3;

/**
 * Reads the orientation out of a TIFF block, which is what EXIF is.
 *
 * @param tiff The block, from its byte order on.
 * @returns 1 to 8; 1, which is upright, where it says nothing that can be read.
 */
export function orientationOf(tiff: Uint8Array | undefined): number {
  if (!tiff || tiff.length < 8) return 1;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const little = tiff[0] === 0x49; // "II" for Intel, "MM" for Motorola
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let i = 0, at = directory + 2; i < entries && at + 12 <= tiff.length; i++, at += 12) {
    if (view.getUint16(at, little) !== ORIENTATION || view.getUint16(at + 2, little) !== SHORT) continue;
    const value = view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** Pixels of a picture. */
export interface Pixels {
  width: number;
  height: number;
  /** RGB, 8 bits a channel, [height, width, 3]. */
  pixels: Uint8Array<ArrayBuffer>;
}

/** Turns and mirrors pixels so that the picture stands upright. */
export function upright({ width, height, pixels }: Pixels, orientation: number): Pixels {
  if (orientation === 1) return { width, height, pixels };
  // From 5 on rows and columns are swapped; the others are those mirrored along one axis or both.
  const isTurned = orientation >= 5;
  const mirrorsX = [2, 3, 7, 8].includes(orientation);
  const mirrorsY = [3, 4, 6, 7].includes(orientation);
  const [across, down] = isTurned ? [height, width] : [width, height];
  const out = new Uint8Array(pixels.length);
  for (let y = 0, to = 0; y < down; y++) {
    for (let x = 0; x < across; x++, to += 3) {
      const [column, row] = isTurned ? [y, x] : [x, y];
      const fromX = mirrorsX ? width - 1 - column : column;
      const fromY = mirrorsY ? height - 1 - row : row;
      const from = (fromY * width + fromX) * 3;
      out[to] = pixels[from];
      out[to + 1] = pixels[from + 1];
      out[to + 2] = pixels[from + 2];
    }
  }
  return { width: across, height: down, pixels: out };
}
