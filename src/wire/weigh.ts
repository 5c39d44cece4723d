/**
 * Estimates what a frame would take in memory once it is decoded, without decoding it: one pass over its tokens. Why that
 * is needed, and what is too much, is in `weight-limit.ts`, which loads this file for the first large frame.
 */
import { maxNesting } from "./decode.ts";
import { maxSharedBytes, textSlots } from "./text.ts";

// What Bun takes for each, in bytes; `test/wire/weigh.test.ts` compares them with what it really takes.
const slot = 8;
const arrayCost = 40;
const emptyArrayCost = 64;
const mapCost = 64;
/** This many fields are part of the record itself; any more go elsewhere. */
const inlineFields = 6;
const outsideCost = 24;
const textCost = 56;
const wideTextCost = 104;
const binaryCost = 88;
const dateCost = 64;
const bigintCost = 32;
/** A key that begins with a digit adds a second kind of storage to its record. */
const indexCost = 256;
/** For keys that were not seen in this order before: the engine keeps a description of them. */
const shapeCost = 320;
/** A record with more keys than this has a table of its own instead. */
const maxShapeKeys = 64;
const tableCost = 72;

/** The texts of this frame that are still shared, by slot: as in `text.ts`, a later one takes an earlier one's place. */
const texts = new Int32Array(textSlots);
/** Enough for every shape of an ordinary frame; one that was overwritten counts again. */
const shapeSlots = 65_536;
const shapes = new Int32Array(shapeSlots);
/** Whether the last frame left something in them. A frame with one large binary leaves nothing, and most large frames are that. */
let hasTexts = false;
let hasShapes = false;

const noGaps: readonly number[] = [];

const nothing = new Uint8Array(0);

let source: Uint8Array = nothing;
let at = 0;
let end = 0;
let nesting = 0;
let values = 0;
let most = 0;
let memory = 0;
let gaps = noGaps;
let gap = 0;
/** A hash of the last text if it is a shared one, else 0. */
let textHash = 0;
/** The first byte of the last text; -1 when the last value was not a text. */
let textStart = -1;

/** How many values a frame holds, and about how many bytes they take once they are decoded. */
export interface Weight {
  readonly values: number;
  readonly bytes: number;
}

/**
 * Weighs the value in `bytes[from..to)`, where a binary was left out at each position of `missing`. Stops when it has
 * counted more than `maxValues`, and where the bytes are malformed.
 */
export function weigh(
  bytes: Uint8Array,
  from: number,
  to: number,
  maxValues: number,
  missing: readonly number[] = noGaps,
): Weight {
  source = bytes;
  at = from;
  end = to;
  nesting = gap = memory = 0;
  values = 1;
  most = maxValues;
  gaps = missing;
  if (hasTexts) texts.fill(0);
  if (hasShapes) shapes.fill(0);
  hasTexts = hasShapes = false;
  weighValue();
  source = nothing;
  return { values, bytes: memory };
}

function uint8(): number {
  return source[at++]!;
}

function uint16(): number {
  const start = at;
  at += 2;
  return (source[start]! << 8) | source[start + 1]!;
}

function uint32(): number {
  const start = at;
  at += 4;
  const high = (source[start]! << 24) | (source[start + 1]! << 16);
  return (high | (source[start + 2]! << 8) | source[start + 3]!) >>> 0;
}

function weighValue(): void {
  const token = source[at++]!;
  textHash = 0;
  textStart = -1;
  if (token < 0x80 || token >= 0xe0) return;
  if (token < 0x90) return weighMap(token & 0x0f);
  if (token < 0xa0) return weighArray(token & 0x0f);
  if (token < 0xc0) return weighText(token & 0x1f);
  switch (token) {
    case 0xc4:
      return weighBinary(uint8());
    case 0xc5:
      return weighBinary(uint16());
    case 0xc6:
      return weighBinary(uint32());
    case 0xc7:
      return weighExtension(uint8());
    case 0xca:
    case 0xce:
    case 0xd2:
      at += 4;
      return;
    case 0xcb:
      at += 8;
      return;
    case 0xcc:
    case 0xd0:
      at += 1;
      return;
    case 0xcd:
    case 0xd1:
      at += 2;
      return;
    case 0xcf:
    case 0xd3:
      at += 8;
      memory += bigintCost;
      return;
    case 0xd4:
      return weighExtension(1);
    case 0xd6:
      return weighExtension(4);
    case 0xd7:
      return weighExtension(8);
    case 0xd9:
      return weighText(uint8());
    case 0xda:
      return weighText(uint16());
    case 0xdb:
      return weighText(uint32());
    case 0xdc:
      return weighArray(uint16());
    case 0xdd:
      return weighArray(uint32());
    case 0xde:
      return weighMap(uint16());
    case 0xdf:
      return weighMap(uint32());
    default:
  }
}

function weighBinary(length: number): void {
  memory += binaryCost;
  if (gap < gaps.length && gaps[gap] === at) gap++;
  else at += length;
}

/** undefined, or a date. */
function weighExtension(length: number): void {
  if (source[at] === 0xff) memory += dateCost;
  at += length + 1;
}

/** Counts values; returns whether to look inside. */
function enter(count: number): boolean {
  values += count;
  return values <= most && nesting < maxNesting;
}

function weighArray(length: number): void {
  memory += length === 0 ? emptyArrayCost : arrayCost + slot * length;
  if (!enter(length)) return;
  nesting++;
  for (let index = 0; index < length && at < end && values <= most; index++) weighValue();
  nesting--;
}

function weighMap(length: number): void {
  memory += length > inlineFields ? mapCost + outsideCost + 2 * slot * (length - inlineFields) : mapCost;
  if (!enter(2 * length)) return;
  nesting++;
  let shape = length > maxShapeKeys ? undefined : 0;
  let indexed = false;
  if (shape === undefined) memory += tableCost * length;
  for (let index = 0; index < length && at < end && values <= most; index++) {
    weighValue();
    const isIndex = textStart <= 0x39 && (textStart >= 0x30 || textStart < 0);
    if (isIndex && !indexed) {
      indexed = true;
      memory += indexCost;
    } else if (isIndex) {
      memory += 2 * slot;
    } else if (shape !== undefined) {
      shape = weighShape(shape);
    }
    weighValue();
  }
  nesting--;
}

/** Adds the next key, which `textHash` stands for, to the keys so far, which `shape` stands for. */
function weighShape(shape: number): number {
  const next = (Math.imul(shape, 31) + textHash + 1) | 0;
  const place = (next ^ (next >>> 16)) & (shapeSlots - 1);
  hasShapes = true;
  if (shapes[place] !== next || textHash === 0) memory += shapeCost;
  shapes[place] = next;
  return next;
}

function weighText(length: number): void {
  const start = at;
  at += length;
  textStart = source[start]!;
  if (length > maxSharedBytes || at > end) {
    memory += textCost + 2 * length;
    return;
  }
  let hash = length;
  let name = length;
  for (let index = start; index < at; index++) {
    const byte = source[index]!;
    if (byte > 0x7f) {
      memory += wideTextCost;
      return;
    }
    hash = (Math.imul(hash, 31) + byte) | 0;
    // a second hash: different short texts often have the first one in common
    name = Math.imul(name ^ byte, 0x01000193);
  }
  textHash = name;
  const place = hash & (textSlots - 1);
  hasTexts = true;
  // the engine has every text of one character already
  if (texts[place] !== name && length > 1) memory += textCost + length;
  texts[place] = name;
}
