/**
 * msgpackr: no other file knows it. `encode.ts` decides which messages it encodes, and loads this file for the first one.
 */
import { addExtension, Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from "msgpackr/pack";

import { asError, EncodeError } from "../errors.ts";
import { headerBytes } from "./frame.ts";
import { LargeBinary } from "./large-binary.ts";

/** The buffer that holds a frame, from the first byte of its length to the end of its message. */
export type PackedFrame = Buffer & { start: number; end: number };

/** A large binary that was left out of a frame: its bytes belong at this position. */
export interface Cut {
  readonly at: number;
  readonly bytes: Uint8Array;
}

const options = { useRecords: false, mapsAsObjects: true, moreTypes: false, useToJSON: false };
const packr = new Packr(options);
/** msgpackr's fast map header counts keys in 16 bits; this one is for the rare record that has more. */
const widePackr = new Packr({ ...options, variableMapSize: true });
const maxFastKeys = 0xffff;

/** The cuts of the message that is being packed, each with the buffer that msgpackr was filling at the time. */
let cuts: (Cut & { at: number; readonly target: Uint8Array })[] = [];

/**
 * Takes the large binaries of the message that was packed last. It returns them once: kept here, they would stay in memory
 * until the next such message.
 */
export function takeCuts(): readonly Cut[] {
  const taken = cuts;
  if (taken.length > 0) cuts = [];
  return taken;
}

// The extension is for a class of our own and has no type code, so other users of msgpackr in this process never meet it.
addExtension({
  Class: LargeBinary as never,
  type: "none",
  pack(value: LargeBinary, allocate: (bytes: number) => { target: Uint8Array; position: number }) {
    const { target, position } = allocate(5);
    const { length } = value.bytes;
    target[position] = 0xc6; // bin 32
    target[position + 1] = length >>> 24;
    target[position + 2] = length >>> 16;
    target[position + 3] = length >>> 8;
    target[position + 4] = length;
    cuts.push({ target, at: position + 5, bytes: value.bytes });
    return undefined;
  },
} as never);

/** What msgpackr is left with after each message: a buffer of its usual size that is full. */
const spent = Buffer.allocUnsafeSlow(8_192);

/**
 * Packs `message` into `buffer`, from `start` on, or into a buffer of msgpackr's own when it does not fit. There is room
 * for a frame's length in front of it.
 *
 * @throws {EncodeError} when msgpackr cannot encode it
 */
export function pack(
  message: readonly unknown[],
  buffer: Buffer,
  start: number,
  packer: Packr = packr,
): PackedFrame {
  const cursor = packer as unknown as { position: number };
  const frameStart = start - headerBytes;
  // msgpackr begins at multiples of 8: begin before the frame, and reserve the gap and the length
  const origin = frameStart & ~7;
  const gap = frameStart - origin;
  packer.useBuffer(buffer);
  cursor.position = origin;
  try {
    const mode = REUSE_BUFFER_MODE | RESERVE_START_SPACE | (gap + headerBytes);
    const frame = packer.pack(message, mode) as unknown as PackedFrame;
    // into another buffer msgpackr moves what it has written, origin first
    if (frame !== buffer) for (const cut of cuts) if (cut.target === buffer) cut.at -= origin;
    frame.start += gap;
    return frame;
  } catch (error) {
    cuts = [];
    if (packer === packr && hasWideRecord(message)) return pack(message, buffer, start, widePackr);
    throw new EncodeError(`message cannot be encoded: ${asError(error).message}`, { cause: error });
  } finally {
    // msgpackr's state is shared by the process: at the end of a buffer, its next user gets one of its own. Not at the end
    // of the buffer that it was filling just now: that may be a large one, with room after the message
    packer.useBuffer(spent);
    cursor.position = spent.length;
  }
}

/** Whether a record in the message has more keys than the fast header counts, which is why packing it failed. */
function hasWideRecord(message: readonly unknown[]): boolean {
  const holders = new Set<object>([message]);
  try {
    // a set hands out what is added while it is walked, and each object once: there may be cycles
    for (const holder of holders) {
      const held: unknown[] = Object.values(holder);
      if (held.length > maxFastKeys && !Array.isArray(holder)) return true;
      for (const value of held)
        if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) holders.add(value);
    }
  } catch {
    // a getter throws, and has thrown before
  }
  return false;
}
