/**
 * Bytes to values: the part of msgpack that this protocol uses, and nothing else. It never reads outside its frame, and
 * whatever the bytes are, the time and memory that it takes are in proportion to their number.
 *
 * msgpackr isn't used here because it also revives regular expressions, cycles and the extensions of every other user in
 * the process, for any peer that asks. On small messages this decoder is also twice as fast (row `codec.decode`).
 */
import { asError, FrameError } from "../errors.ts";
import { readText } from "./text.ts";

/**
 * Deeper frames are refused. A sender accepts values that are 1,000 deep, with an error at the bottom that holds another
 * such value.
 */
export const maxNesting: number = 2_100;
/** The view of a longer chunk is not kept for the next frame: it would keep the chunk alive. */
const maxKeptView = 1_048_576;

const nothing = new Uint8Array(0);

// The frame that is being read. Module variables, because a reader object costs more than a small message.
let source: Uint8Array = nothing;
let at = 0;
let end = 0;
let nesting = 0;
/** How many elements containers may still reserve memory for: otherwise nested headers could each claim all the bytes left. */
let reserve = 0;
let viewed: Uint8Array = nothing;
let view: DataView = new DataView(nothing.buffer);

/**
 * Decodes the one msgpack value in `bytes[from..to)`. Binary values in it are views of `bytes`.
 *
 * @throws {FrameError} when the bytes are not exactly one value of the types that may cross
 */
export function decode(bytes: Uint8Array, from: number, to: number): unknown {
  source = bytes;
  at = from;
  end = to;
  nesting = 0;
  reserve = to - from;
  try {
    const value = read();
    if (at !== end) fail(`${end - at} B after the value`);
    return value;
  } catch (error) {
    const reason = asError(error).message;
    throw new FrameError(`frame of ${to - from} B is not one msgpack value: ${reason}`, { cause: error });
  } finally {
    source = nothing;
    if (viewed.length > maxKeptView) viewed = nothing;
  }
}

function fail(what: string): never {
  throw new FrameError(what);
}

/** Steps over the next `bytes`, which the frame must hold; returns where they start. */
function take(bytes: number): number {
  const start = at;
  if (bytes > end - start) fail("it is cut short");
  at = start + bytes;
  return start;
}

function read(): unknown {
  const token = source[take(1)]!;
  if (token < 0x80) return token;
  if (token < 0x90) return readMap(token & 0x0f);
  if (token < 0xa0) return readArray(token & 0x0f);
  if (token < 0xc0) return readString(token & 0x1f);
  if (token >= 0xe0) return token - 0x100;
  switch (token) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return readBinary(uint8());
    case 0xc5:
      return readBinary(uint16());
    case 0xc6:
      return readBinary(uint32());
    case 0xc7:
      return readExtension(uint8());
    case 0xca:
      return dataView().getFloat32(take(4));
    case 0xcb:
      return dataView().getFloat64(take(8));
    case 0xcc:
      return uint8();
    case 0xcd:
      return uint16();
    case 0xce:
      return uint32();
    case 0xcf:
      return dataView().getBigUint64(take(8));
    case 0xd0:
      return (uint8() << 24) >> 24;
    case 0xd1:
      return (uint16() << 16) >> 16;
    case 0xd2:
      return uint32() | 0;
    case 0xd3:
      return dataView().getBigInt64(take(8));
    case 0xd4:
      return readExtension(1);
    case 0xd6:
      return readExtension(4);
    case 0xd7:
      return readExtension(8);
    case 0xd9:
      return readString(uint8());
    case 0xda:
      return readString(uint16());
    case 0xdb:
      return readString(uint32());
    case 0xdc:
      return readArray(uint16());
    case 0xdd:
      return readArray(uint32());
    case 0xde:
      return readMap(uint16());
    case 0xdf:
      return readMap(uint32());
    default:
      return fail(`no value that may cross begins with 0x${token.toString(16)}`);
  }
}

function uint8(): number {
  return source[take(1)]!;
}

function uint16(): number {
  const start = take(2);
  return (source[start]! << 8) | source[start + 1]!;
}

function uint32(): number {
  const start = take(4);
  const high = (source[start]! << 24) | (source[start + 1]! << 16);
  return (high | (source[start + 2]! << 8) | source[start + 3]!) >>> 0;
}

/** A view of the source. All frames of a chunk share one. */
function dataView(): DataView {
  if (viewed !== source) {
    view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    viewed = source;
  }
  return view;
}

function readString(length: number): string {
  const start = take(length);
  return readText(source, start, at);
}

function readBinary(length: number): Uint8Array {
  const start = take(length);
  return source.subarray(start, at);
}

/** Counts a level of nesting, and checks that `length` elements of at least `bytesEach` can follow. */
function enter(length: number, bytesEach: number): void {
  reserve -= length;
  if (length * bytesEach > end - at || reserve < 0) fail("it is cut short");
  if (++nesting > maxNesting) fail(`it is nested more than ${maxNesting} deep`);
}

function readArray(length: number): unknown[] {
  enter(length, 1);
  // oxlint-disable-next-line unicorn/no-new-array -- it is a length, and growing costs more
  const array = new Array<unknown>(length);
  for (let index = 0; index < length; index++) array[index] = read();
  nesting--;
  return array;
}

function readMap(length: number): Record<string, unknown> {
  enter(length, 2);
  const record: Record<string, unknown> = {};
  for (let index = 0; index < length; index++) {
    const key = readKey();
    const value = read();
    if (key === "__proto__") {
      setOwn(record, key, value);
    } else {
      const first = key.charCodeAt(0);
      if (first <= 0x39 && first >= 0x30 && isFar(key, length)) makeSparse(record);
      record[key] = value;
    }
  }
  nesting--;
  return record;
}

/** Other languages have maps whose keys are not text. */
function readKey(): string {
  const key = read();
  if (typeof key === "string") return key;
  if (typeof key === "object" && key !== null) fail("a key that is not a text, number or boolean");
  return String(key);
}

/** Whether the key is an index so high that the engine would reserve far more memory than `length` keys need. */
function isFar(key: string, length: number): boolean {
  return key.length > 1 && key.length < 4 && Number(key) > minFarIndex + 8 * length;
}

const minFarIndex = 16;
/** The highest index: the engine reserves nothing up to it, nor for any index after that. */
const lastIndex = 4_294_967_294;

/** Makes a record store each index by itself. Otherwise a map with the one key 999 would take 8 KB. */
function makeSparse(record: Record<number, unknown>): void {
  record[lastIndex] = null;
  delete record[lastIndex];
}

/** Sets a property, whatever its name: plain assignment to "__proto__" would set the prototype. */
export function setOwn(record: object, key: string, value: unknown): void {
  Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Reads undefined or a Date: msgpack has no tokens for them. */
function readExtension(length: number): unknown {
  const start = take(length + 1) + 1;
  const type = source[start - 1]!;
  if (type === 0x00 && length === 1) return undefined;
  if (type !== 0xff) fail(`extension ${type} may not cross`);
  if (length === 1) return new Date(Number.NaN);
  const bytes = dataView();
  if (length === 4) return new Date(bytes.getUint32(start) * 1_000);
  if (length === 8) {
    // 30 bits of nanoseconds, 34 of seconds
    const high = bytes.getUint32(start);
    const seconds = (high & 3) * 0x1_0000_0000 + bytes.getUint32(start + 4);
    return new Date(seconds * 1_000 + Math.floor((high >>> 2) / 1_000_000));
  }
  if (length !== 12) fail(`a timestamp of ${length} B`);
  const milliseconds = Math.floor(bytes.getUint32(start) / 1_000_000);
  return new Date(Number(bytes.getBigInt64(start + 4)) * 1_000 + milliseconds);
}
