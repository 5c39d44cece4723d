/**
 * msgpackr, which no other file knows: for messages that `direct.ts` does not write. It is loaded when there is the
 * first such message, because most children never send one: it is a third of all that they would load (`spawn`, `idle`).
 */
import { addExtension, Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from "msgpackr/pack";

import { asError, EncodeError } from "../errors.ts";
import { LargeBinary } from "./large-binary.ts";

/** msgpackr's own buffer, with the marks that it leaves in REUSE_BUFFER_MODE. */
export type MarkedBuffer = Uint8Array & { start: number; end: number };
/** Where a large binary is to go. */
export interface Cut {
  /** The buffer that msgpackr was filling, and where in it the header of the large binary ends. */
  readonly target: Uint8Array;
  readonly at: number;
  readonly bytes: Uint8Array;
}

const options = { useRecords: false, mapsAsObjects: true, moreTypes: false, useToJSON: false };
const packr = new Packr(options);
/** msgpackr's fast map header has 16 bits; this one is for the rare object with more keys than that. */
const widePackr = new Packr({ ...options, variableMapSize: true });

let cuts: Cut[] = [];

/** The large binaries of the message that was packed last, once: kept here, they would be kept until the next such message. */
export function takeCuts(): readonly Cut[] {
  const taken = cuts;
  if (taken.length > 0) cuts = [];
  return taken;
}

// Of a class of our own, and with no code that could arrive: other users of msgpackr in this process notice nothing.
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
 * Packs `message` into `buffer` from `origin + reserve` on, or into a buffer of msgpackr's when it does not fit.
 *
 * @throws {EncodeError} when msgpackr cannot encode it
 */
export function pack(
  message: readonly unknown[],
  buffer: Uint8Array,
  origin: number,
  reserve: number,
  packer: Packr = packr,
): MarkedBuffer {
  const cursor = packer as unknown as { position: number };
  packer.useBuffer(buffer);
  cursor.position = origin;
  try {
    const mode = REUSE_BUFFER_MODE | RESERVE_START_SPACE | reserve;
    return packer.pack(message, mode) as unknown as MarkedBuffer;
  } catch (error) {
    cuts = [];
    const reason = asError(error).message;
    if (packer === packr && reason.includes("variableMapSize")) {
      return pack(message, buffer, origin, reserve, widePackr);
    }
    throw new EncodeError(`message cannot be encoded: ${reason}`, { cause: error });
  } finally {
    // msgpackr's state is shared by the process: at the end of a buffer, its next user gets one of its own. Not of
    // the buffer it was filling just now: that may be a large one, with room behind the message
    packer.useBuffer(spent);
    cursor.position = spent.length;
  }
}
