/** Frames of a great many tiny values. */

/** Three characters that no other number below 700,000 has. */
function name(at: number, length = 3): number[] {
  const characters: number[] = [];
  for (let left = at; characters.length < length; left = Math.floor(left / 90))
    characters.push(33 + (left % 90));
  return characters;
}

/** The bytes of one value, by its number. */
const values: Readonly<Record<string, (at: number) => number[]>> = {
  "empty maps": () => [0x80],
  "empty arrays": () => [0x90],
  "arrays of one": () => [0x91, 1],
  "small integers": () => [1],
  "short texts": (at) => [0xa3, ...name(at)],
  "short texts that are not ASCII": () => [0xa3, 0xc3, 0xa9, 0x61],
  "empty binaries": () => [0xc4, 0],
  dates: (at) => [0xd6, 0xff, 0, 0, at & 255, 0],
  "invalid dates": () => [0xd4, 0xff, 0],
  "records of one field": () => [0x81, 0xa1, 0x61, 1],
  "records of other fields each": (at) => [0x81, 0xa3, 0x61 + (at % 26), ...name(at, 2), 1],
  "records of any two fields": (at) => [0x82, 0xa2, 0x61, ...name(at, 1), 1, 0xa3, 0x62, ...name(at, 2), 1],
  "maps with the key 999": () => [0x81, 0xa3, 0x39, 0x39, 0x39, 1],
  "maps with the number 999 as a key": () => [0x81, 0xcd, 0x03, 0xe7, 1],
  "arrays in arrays": () => [0x91, 0x91, 0x91, 0x91, 0x90],
};

export const kinds: readonly string[] = Object.keys(values);

/** An array of `count` of them. */
export function manyOf(kind: string, count: number): Uint8Array {
  const make = values[kind]!;
  const bytes: number[] = [0xdd, count >>> 24, (count >>> 16) & 255, (count >>> 8) & 255, count & 255];
  for (let at = 0; at < count; at++) bytes.push(...make(at));
  return Uint8Array.from(bytes);
}
