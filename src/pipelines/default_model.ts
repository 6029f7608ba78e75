// Where the model lies that comes with this library: small pictures of emoji, no download. Out: the folder's URL.

/** The embedded model's folder, beside `mod.ts` wherever that was loaded from: a `file:` or `https:` URL. */
export const DEFAULT_MODEL: string = new URL("../../weights/emoji-64/", import.meta.url).href;
