/**
 * Messages to bytes, on msgpackr, which no other file knows; `decode.ts` is the way back.
 *
 * Encoding goes straight into the buffer of a `Batch`, each frame right behind the one before, with its length in
 * front; what a batch holds leaves in one write. A `LargeBinary` is not copied: the batch is cut there, and the
 * caller's memory goes out between the two parts.
 */
import { addExtension, Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from "msgpackr/pack";

import { asError, EncodeError, LimitError } from "../errors.ts";
import { writeDirect } from "./direct.ts";
import { headerBytes, writeLength } from "./frame.ts";

/** From this size on, in bytes, a binary value is written from the caller's memory instead of being copied. */
export const largeBinaryBytes = 16_384;

/** The size of a pooled buffer. A turn that sends more than this leaves in more than one write. */
const bufferBytes = 65_536;
/** A buffer with less room than this is not begun in; msgpackr would replace it. */
const reserveBytes = 2_560;
const pooledBuffers = 8;

/** Stands for a large binary inside a message that is being encoded. */
export class LargeBinary {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** msgpackr's own buffer, with the marks that it leaves in REUSE_BUFFER_MODE. */
type MarkedBuffer = Uint8Array & { start: number; end: number };
interface Cut {
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

const pool: Uint8Array[] = [];
/** What msgpackr is left with after each message: a buffer of its usual size that is full. */
const spent = Buffer.allocUnsafeSlow(8_192);

function newBuffer(): Uint8Array {
  return Buffer.allocUnsafeSlow(bufferBytes);
}

/**
 * Receives the parts of a batch in order. `stable` memory is the caller's own and may be kept; the rest is lent until
 * the call returns.
 */
export type BatchSink = (bytes: Uint8Array, start: number, end: number, stable: boolean) => void;

interface Part {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly stable: boolean;
}

/** Frames that wait for the end of the turn. Reusable after `drain`. */
export class Batch {
  #buffer: Uint8Array | undefined;
  /** Where the part that is being filled starts and ends in the buffer. */
  #start = 0;
  #end = 0;
  /** Parts before that one: cut off by a large binary, or left in a buffer that was full. */
  #parts: Part[] = [];
  #partBytes = 0;

  /** Bytes that wait. */
  get pendingBytes(): number {
    return this.#partBytes + this.#end - this.#start;
  }

  /** Whether the next frame would need a further buffer; a good moment to drain. */
  get full(): boolean {
    return this.#end > bufferBytes - reserveBytes || this.#partBytes > bufferBytes;
  }

  /**
   * Adds one frame and returns its size in bytes, without the length. When it throws, nothing was added.
   *
   * @throws {LimitError} when the frame would exceed `maxFrameBytes`
   * @throws {EncodeError} when msgpackr cannot encode the message
   */
  add(message: readonly unknown[], maxFrameBytes: number): number {
    if (this.#end > bufferBytes - reserveBytes) this.#seal();
    const buffer = (this.#buffer ??= pool.pop() ?? newBuffer());
    const directStart = this.#end + headerBytes;
    const directEnd = writeDirect(buffer, directStart, message);
    if (directEnd > 0) {
      const size = directEnd - directStart;
      if (size > maxFrameBytes) throw tooLarge(size, maxFrameBytes);
      writeLength(buffer, this.#end, size);
      this.#end = directEnd;
      return size;
    }
    // msgpackr starts at multiples of 8: start before our end, and reserve the gap and the length
    const origin = this.#end & ~7;
    const gap = this.#end - origin;
    const out = pack(packr, message, buffer, origin, gap + headerBytes);
    const moved = out !== buffer;
    const frameStart = moved ? gap : this.#end;
    const end = out.end;
    let size = end - frameStart - headerBytes;
    for (const cut of cuts) size += cut.bytes.length;
    if (size > maxFrameBytes) throw tooLarge(size, maxFrameBytes);
    writeLength(out, frameStart, size);
    if (moved) {
      // the message outgrew the buffer: what was before stays a part, and the message is one of its own
      this.#seal();
      this.#buffer = out;
      this.#start = frameStart;
    }
    for (const cut of cuts) {
      const at = moved && cut.target === buffer ? cut.at - origin : cut.at;
      this.#part(out, this.#start, at, false);
      this.#part(cut.bytes, 0, cut.bytes.length, true);
      this.#start = at;
    }
    this.#end = end;
    if (moved) this.#seal();
    return size;
  }

  /**
   * Hands all parts to `sink`, in order, and gives the buffer back.
   *
   * @throws {EncodeError} when the memory of a large binary is not there any more
   */
  drain(sink: BatchSink): void {
    const buffer = this.#buffer;
    const start = this.#start;
    const end = this.#end;
    if (this.#parts.length > 0) {
      const parts = this.#parts;
      this.#parts = [];
      this.#partBytes = 0;
      for (const { bytes, start, end: partEnd, stable } of parts) {
        checkMemory(bytes, partEnd);
        sink(bytes, start, partEnd, stable);
      }
    }
    if (buffer === undefined) return;
    if (end > start) sink(buffer, start, end, false);
    this.#release(buffer);
  }

  /** Drops what waits. */
  clear(): void {
    this.#parts = [];
    this.#partBytes = 0;
    if (this.#buffer !== undefined) this.#release(this.#buffer);
  }

  #release(buffer: Uint8Array): void {
    this.#buffer = undefined;
    this.#start = this.#end = 0;
    if (buffer.length === bufferBytes && pool.length < pooledBuffers) pool.push(buffer);
  }

  /** Ends the part that is being filled, with its buffer, which then belongs to the part. */
  #seal(): void {
    if (this.#buffer !== undefined) this.#part(this.#buffer, this.#start, this.#end, true);
    this.#buffer = undefined;
    this.#start = this.#end = 0;
  }

  #part(bytes: Uint8Array, start: number, end: number, stable: boolean): void {
    if (end === start) return;
    this.#parts.push({ bytes, start, end, stable });
    this.#partBytes += end - start;
  }
}

/** @throws {EncodeError} when a binary was transferred or resized while it waited to be sent */
export function checkMemory(bytes: Uint8Array, end: number): void {
  if (end <= bytes.length) return;
  throw new EncodeError(
    `${end - bytes.length} B of a binary value are gone: it was transferred or resized before it was sent`,
  );
}

function tooLarge(size: number, maxFrameBytes: number): LimitError {
  return new LimitError(`frame of ${size} B exceeds maxFrameBytes ${maxFrameBytes}`);
}

/** Packs `message` into `buffer` from `origin + reserve` on, or into a buffer of msgpackr's when it does not fit. */
function pack(
  packer: Packr,
  message: readonly unknown[],
  buffer: Uint8Array,
  origin: number,
  reserve: number,
): MarkedBuffer {
  if (cuts.length > 0) cuts = [];
  const cursor = packer as unknown as { position: number };
  packer.useBuffer(buffer);
  cursor.position = origin;
  try {
    const mode = REUSE_BUFFER_MODE | RESERVE_START_SPACE | reserve;
    return packer.pack(message, mode) as unknown as MarkedBuffer;
  } catch (error) {
    const reason = asError(error).message;
    if (packer === packr && reason.includes("variableMapSize")) {
      return pack(widePackr, message, buffer, origin, reserve);
    }
    throw new EncodeError(`message cannot be encoded: ${reason}`, { cause: error });
  } finally {
    // msgpackr's state is shared by the process: at the end of a buffer, its next user gets one of its own. Not of
    // the buffer it was filling just now: that may be a large one, with room behind the message
    packer.useBuffer(spent);
    cursor.position = spent.length;
  }
}
