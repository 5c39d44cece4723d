/**
 * The short way to bytes: writes small messages of common types straight into the buffer that they leave from. Those hold
 * numbers, short ASCII texts, booleans, null, undefined, binaries, and lists and records of these. `encode.ts` says why.
 */

/** The longest text that `writeText` writes itself, in characters: its header has one byte for the length at most. */
const maxShortLength = 255;
/** The longest text that is written here. Longer ones are rare. */
const maxTextLength = 4_096;
/** Up to this length a loop is faster than a call. */
const loopLength = 12;
/** The most elements that the one-byte header of a list or record can count. */
const maxElements = 15;
/** Deeper values are left to msgpackr. A cycle is infinitely deep. */
const maxNesting = 4;
/** The most bytes that one value takes, besides a text's characters or a binary's bytes. */
const maxTokenBytes = 9;
/** The most bytes that one character takes. */
const maxCharacterBytes = 4;

// oxlint-disable-next-line typescript/unbound-method -- called with its `this`
const { utf8Write } = Buffer.prototype as unknown as {
  utf8Write(this: Uint8Array, text: string, offset: number, length: number): number;
};

/** Writes `message` at `at` and returns where it ends, or -1 when it holds anything else or there is no room. */
export function writeDirect(bytes: Uint8Array, at: number, message: readonly unknown[]): number {
  return writeList(bytes, at, message, 0);
}

/** As `writeDirect`; there must be room for a token at `at`. */
function writeList(bytes: Uint8Array, at: number, list: readonly unknown[], nesting: number): number {
  const { length } = list;
  if (length > maxElements || nesting > maxNesting) return -1;
  bytes[at] = 0x90 | length;
  let end = at + 1;
  for (let index = 0; index < length && end >= 0; index++) {
    end = writeValue(bytes, end, list[index], nesting);
  }
  return end;
}

function writeValue(bytes: Uint8Array, at: number, value: unknown, nesting: number): number {
  if (at + maxTokenBytes > bytes.length) return -1;
  if (typeof value === "string") return writeText(bytes, at, value);
  if (typeof value === "number") return writeNumber(bytes, at, value);
  if (value === null || typeof value === "boolean") {
    bytes[at] = value === null ? 0xc0 : value ? 0xc3 : 0xc2;
    return at + 1;
  }
  if (value === undefined) {
    // extension 0, of one byte
    bytes[at] = 0xd4;
    bytes[at + 1] = bytes[at + 2] = 0;
    return at + 3;
  }
  if (typeof value !== "object") return -1;
  if (Array.isArray(value)) return writeList(bytes, at, value as unknown[], nesting + 1);
  if (value instanceof Uint8Array) return writeBinary(bytes, at, value);
  return Object.getPrototypeOf(value) === Object.prototype
    ? writeRecord(bytes, at, value as Record<string, unknown>, nesting + 1)
    : -1;
}

/** Writes a record's own properties, not those that a program has added to `Object.prototype`. */
function writeRecord(
  bytes: Uint8Array,
  at: number,
  record: Record<string, unknown>,
  nesting: number,
): number {
  if (nesting > maxNesting) return -1;
  let end = at + 1;
  let count = 0;
  for (const key in record) {
    if (!Object.hasOwn(record, key)) continue;
    if (++count > maxElements) return -1;
    end = writeText(bytes, end, key);
    if (end >= 0) end = writeValue(bytes, end, record[key], nesting);
    if (end < 0) return -1;
  }
  bytes[at] = 0x80 | count;
  return end;
}

const float = new DataView(new ArrayBuffer(8));
const floatBytes = new Uint8Array(float.buffer);

/** Writes an integer of up to 32 bits or a float64; returns -1 for negative integers with a form of their own. */
function writeNumber(bytes: Uint8Array, at: number, value: number): number {
  const end = writeInteger(bytes, at, value);
  if (end >= 0 || (value >= -0x8000_0000 && value < 0 && Number.isInteger(value))) return end;
  bytes[at] = 0xcb;
  float.setFloat64(0, value);
  for (let index = 0; index < 8; index++) bytes[at + 1 + index] = floatBytes[index]!;
  return at + 9;
}

/** Writes an integer of up to 32 bits in its shortest form; returns -1 for any other number. */
export function writeInteger(bytes: Uint8Array, at: number, value: number): number {
  const unsigned = value >>> 0;
  if (unsigned !== value) {
    if (value < -32 || value >= 0 || !Number.isInteger(value)) return -1;
    bytes[at] = 0x100 + value;
    return at + 1;
  }
  if (unsigned < 0x80) {
    bytes[at] = unsigned;
    return at + 1;
  }
  if (unsigned < 0x100) {
    bytes[at] = 0xcc;
    bytes[at + 1] = unsigned;
    return at + 2;
  }
  if (unsigned < 0x1_0000) {
    bytes[at] = 0xcd;
    bytes[at + 1] = unsigned >>> 8;
    bytes[at + 2] = unsigned;
    return at + 3;
  }
  bytes[at] = 0xce;
  bytes[at + 1] = unsigned >>> 24;
  bytes[at + 2] = unsigned >>> 16;
  bytes[at + 3] = unsigned >>> 8;
  bytes[at + 4] = unsigned;
  return at + 5;
}

/** Writes a binary if there is room for it. */
function writeBinary(bytes: Uint8Array, at: number, value: Uint8Array): number {
  const { length } = value;
  if (at + maxTokenBytes + length > bytes.length) return -1;
  const start = writeBinaryHeader(bytes, at, length);
  bytes.set(value, start);
  return start + length;
}

/** Writes the header of a binary of `length` bytes; returns where those start. */
export function writeBinaryHeader(bytes: Uint8Array, at: number, length: number): number {
  if (length < 0x100) {
    bytes[at] = 0xc4;
    bytes[at + 1] = length;
    return at + 2;
  }
  if (length < 0x1_0000) {
    bytes[at] = 0xc5;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
    return at + 3;
  }
  bytes[at] = 0xc6;
  bytes[at + 1] = length >>> 24;
  bytes[at + 2] = length >>> 16;
  bytes[at + 3] = length >>> 8;
  bytes[at + 4] = length;
  return at + 5;
}

function writeText(bytes: Uint8Array, at: number, text: string): number {
  const { length } = text;
  if (length > maxShortLength || at + maxTokenBytes + length + maxCharacterBytes > bytes.length)
    return writeLongText(bytes, at, text);
  let start = at + 1;
  if (length < 32) {
    bytes[at] = 0xa0 | length;
  } else {
    bytes[at] = 0xd9;
    bytes[at + 1] = length;
    start++;
  }
  if (length > loopLength) {
    // as many bytes as characters: the text is ASCII, and the header is right. Any other text takes more bytes
    const written = utf8Write.call(bytes, text, start, length + maxCharacterBytes);
    return written === length ? start + length : -1;
  }
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return -1;
    bytes[start + index] = code;
  }
  return start + length;
}

/** A function of its own: the engine compiles the other one into its callers only while that is small (row `stream.small`). */
function writeLongText(bytes: Uint8Array, at: number, text: string): number {
  const { length } = text;
  if (length > maxTextLength || at + maxTokenBytes + length + maxCharacterBytes > bytes.length) return -1;
  bytes[at] = 0xda;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  const written = utf8Write.call(bytes, text, at + 3, length + maxCharacterBytes);
  return written === length ? at + 3 + length : -1;
}
