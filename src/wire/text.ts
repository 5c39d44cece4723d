/**
 * Texts out of bytes, the frequent ones each as one string object: names of functions, of actors and of fields come again
 * and again.
 */

/** Longer texts are not shared. */
export const maxSharedBytes = 31;
/** How many texts are shared at most: one for each value that their hash takes here. */
export const textSlots = 4_096;
/** Up to this length, checking that a text is ASCII and reading it as such is faster than reading it as UTF-8. */
const maxCheckedBytes = 48;

// Not filled by a callback: calling one thousands of times at the start would have it compiled, and that memory stays (`idle`).
// oxlint-disable-next-line no-new-array -- a length it is
const shared = new Array<string | undefined>(textSlots).fill(undefined);

const { latin1Slice, utf8Slice } = Buffer.prototype;

/** The UTF-8 text in `bytes[from..to)`. Malformed parts become U+FFFD. */
export function readText(bytes: Uint8Array, from: number, to: number): string {
  const length = to - from;
  if (length > maxSharedBytes) return readLongText(bytes, from, to);
  let hash = length;
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (byte > 0x7f) return utf8Slice.call(bytes, from, to);
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  const slot = hash & (textSlots - 1);
  const known = shared[slot];
  if (known !== undefined && known.length === length) {
    let same = 0;
    while (same < length && known.charCodeAt(same) === bytes[from + same]) same++;
    if (same === length) return known;
  }
  return (shared[slot] = latin1Slice.call(bytes, from, to));
}

function readLongText(bytes: Uint8Array, from: number, to: number): string {
  if (to - from > maxCheckedBytes) return utf8Slice.call(bytes, from, to);
  let all = 0;
  for (let at = from; at < to; at++) all |= bytes[at]!;
  return all > 0x7f ? utf8Slice.call(bytes, from, to) : latin1Slice.call(bytes, from, to);
}
