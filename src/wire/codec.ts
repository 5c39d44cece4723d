/**
 * Frames of one turn, collected into a batch: `encode.ts` decides how each message becomes bytes, `decode.ts` is the way back.
 *
 * A batch encodes straight into its buffer, each frame right after the one before and with its length in front; all that a
 * batch holds leaves in one write. A `LargeBinary` is not copied: the batch is cut there, and the caller's memory goes out
 * between the two parts.
 */
import { EncodeError, LimitError } from "../errors.ts";
import { writeBinaryHeader, writeInteger } from "./direct.ts";
import { encodeMessage, takeCuts } from "./encode.ts";
import { headerBytes, writeLength } from "./frame.ts";
import { bufferTag, LargeBinary, largeBinaryBytes } from "./large-binary.ts";
import type { PackedFrame } from "./packr.ts";
import { isBuffer } from "./plain.ts";
import { weighedFrom, weightFault } from "./weight-limit.ts";

/** The size of a pooled buffer. A turn that sends more than this leaves in more than one write. */
const bufferBytes = 65_536;
/** No frame begins in a buffer with less room than this: msgpackr would replace the buffer. */
const reserveBytes = 2_560;
const pooledBuffers = 8;

const pool: Buffer[] = [];
/** Whether a message is being encoded, in any batch: msgpackr has one state for all of them. */
let encoding = false;

function newBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(bufferBytes);
}

/**
 * Takes the parts of a batch, in order. `stable` memory may be kept; other memory is lent until `drain` returns. `more` tells
 * that another part follows at once.
 */
export type BatchSink = (
  bytes: Uint8Array,
  start: number,
  end: number,
  stable: boolean,
  more: boolean,
) => void;

interface Part {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly stable: boolean;
}

/** Collects frames until the end of the turn. It can be used again after `drain`. */
export class Batch {
  #buffer: Buffer | undefined;
  /** Where the part that is being filled starts and ends in the buffer. */
  #start = 0;
  #end = 0;
  /** The parts before that one: each was cut off by a large binary, or filled its buffer. */
  #parts: Part[] = [];
  #partBytes = 0;
  readonly #maxFrameValues: number;
  readonly #weighedFrom: number;

  /** `maxFrameValues` limits each frame; without it there is no limit. */
  constructor(maxFrameValues: number = Number.POSITIVE_INFINITY) {
    this.#maxFrameValues = maxFrameValues;
    this.#weighedFrom =
      maxFrameValues === Number.POSITIVE_INFINITY ? maxFrameValues : weighedFrom(maxFrameValues);
  }

  /** How many bytes wait. */
  get pendingBytes(): number {
    return this.#partBytes + this.#end - this.#start;
  }

  /** Whether the next frame would need another buffer: a good moment to drain. */
  get full(): boolean {
    return this.#end > bufferBytes - reserveBytes || this.#partBytes > bufferBytes;
  }

  /**
   * Adds one frame and returns its size in bytes, without the length. When this throws, nothing was added.
   *
   * @throws {LimitError} when the frame would exceed `maxFrameBytes`, or be too heavy to decode
   * @throws {EncodeError} when the message cannot be encoded, or when a getter in a message that is being added calls this
   */
  add(message: readonly unknown[], maxFrameBytes: number): number {
    checkIdle();
    encoding = true;
    try {
      return this.#encode(message, maxFrameBytes);
    } finally {
      encoding = false;
    }
  }

  #encode(message: readonly unknown[], maxFrameBytes: number): number {
    if (this.#end > bufferBytes - reserveBytes) this.#seal();
    const buffer = (this.#buffer ??= pool.pop() ?? newBuffer());
    const start = this.#end + headerBytes;
    const encoded = encodeMessage(message, buffer, start);
    if (typeof encoded !== "number") return this.#addPacked(encoded, maxFrameBytes);
    const size = encoded - start;
    if (size > maxFrameBytes) throw tooLarge(size, maxFrameBytes);
    if (size > this.#weighedFrom) this.#checkWeight(size, buffer, start, encoded);
    writeLength(buffer, this.#end, size);
    this.#end = encoded;
    return size;
  }

  /** Adds a frame that msgpackr has encoded, into the batch's buffer or, when it outgrew that, into one of its own. */
  #addPacked(frame: PackedFrame, maxFrameBytes: number): number {
    const cuts = takeCuts();
    const { start, end } = frame;
    let size = end - start - headerBytes;
    for (const cut of cuts) size += cut.bytes.length;
    if (size > maxFrameBytes) throw tooLarge(size, maxFrameBytes);
    if (size > this.#weighedFrom) {
      const missing = cuts.map(({ at }) => at);
      this.#checkWeight(size, frame, start + headerBytes, end, missing);
    }
    writeLength(frame, start, size);
    const moved = frame !== this.#buffer;
    if (moved) {
      // the frames before it stay a part, and this one becomes another
      this.#seal();
      this.#buffer = frame;
      this.#start = start;
    }
    for (const { at, bytes } of cuts) {
      this.#part(frame, this.#start, at, false);
      this.#part(bytes, 0, bytes.length, true);
      this.#start = at;
    }
    this.#end = end;
    if (moved) this.#seal();
    return size;
  }

  /**
   * As `add` of `[kind, id, value]`, or of `[kind, id, [bufferTag, value], true]` when the value is a Buffer. A large value
   * goes out from its own memory. Nothing is looked at or wrapped, so this is faster (rows `stream.*`).
   *
   * @throws {LimitError} when the frame would exceed `maxFrameBytes`
   * @throws {EncodeError} when a getter in a message that is being added calls this
   */
  addBinary(kind: number, id: number, value: Uint8Array, maxFrameBytes: number): number {
    checkIdle();
    const { length } = value;
    const isLarge = length >= largeBinaryBytes;
    const isRich = isBuffer(value);
    if (this.#end + (isLarge ? 0 : length) > bufferBytes - reserveBytes) this.#seal();
    const buffer = (this.#buffer ??= pool.pop() ?? newBuffer());
    const start = this.#end + headerBytes;
    buffer[start] = isRich ? 0x94 : 0x93;
    buffer[start + 1] = kind;
    let at = writeInteger(buffer, start + 2, id);
    if (at < 0) {
      const bytes = isLarge ? new LargeBinary(value) : value;
      return this.add(isRich ? [kind, id, [bufferTag, bytes], true] : [kind, id, bytes], maxFrameBytes);
    }
    if (isRich) {
      buffer[at] = 0x92;
      buffer[at + 1] = bufferTag;
      at += 2;
    }
    at = writeBinaryHeader(buffer, at, length);
    const size = at - start + length + (isRich ? 1 : 0);
    if (size > maxFrameBytes) throw tooLarge(size, maxFrameBytes);
    writeLength(buffer, this.#end, size);
    if (isLarge) {
      this.#part(buffer, this.#start, at, false);
      this.#part(value, 0, length, true);
      this.#start = this.#end = at;
    } else {
      buffer.set(value, at);
      this.#end = at + length;
    }
    if (isRich) buffer[this.#end++] = 0xc3;
    return size;
  }

  /** @throws {LimitError} when the frame, with the binaries `missing` from it, is heavier than a receiver accepts */
  #checkWeight(size: number, bytes: Uint8Array, from: number, to: number, missing?: readonly number[]): void {
    const fault = weightFault(size, bytes, from, to, this.#maxFrameValues, missing);
    if (fault !== undefined) throw new LimitError(fault);
  }

  /**
   * Hands all parts to `sink`, in order, and gives the buffer back.
   *
   * @throws {EncodeError} when the memory of a large binary is gone
   */
  drain(sink: BatchSink): void {
    const buffer = this.#buffer;
    const [start, end] = [this.#start, this.#end];
    if (this.#parts.length > 0) {
      const parts = this.#parts;
      const last = end > start ? undefined : parts.at(-1);
      this.#parts = [];
      this.#partBytes = 0;
      for (const part of parts) {
        checkMemory(part.bytes, part.end);
        sink(part.bytes, part.start, part.end, part.stable, part !== last);
      }
    }
    if (buffer === undefined) return;
    if (end > start) sink(buffer, start, end, false, false);
    this.#release(buffer);
  }

  /** Drops all parts. */
  clear(): void {
    this.#parts = [];
    this.#partBytes = 0;
    if (this.#buffer !== undefined) this.#release(this.#buffer);
  }

  #release(buffer: Buffer): void {
    this.#buffer = undefined;
    this.#start = this.#end = 0;
    if (buffer.length === bufferBytes && pool.length < pooledBuffers) pool.push(buffer);
  }

  /** Ends the part that is being filled, and leaves the buffer to it. */
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
function checkMemory(bytes: Uint8Array, end: number): void {
  if (end <= bytes.length) return;
  throw new EncodeError(
    `${end - bytes.length} B of a binary value are gone: it was transferred or resized before it was sent`,
  );
}

/** @throws {EncodeError} inside a getter of a value that is being encoded: both would be written in the same place */
function checkIdle(): void {
  if (encoding) throw new EncodeError("a getter of a value that is being sent cannot send a message itself");
}

function tooLarge(size: number, maxFrameBytes: number): LimitError {
  return new LimitError(`frame of ${size} B exceeds maxFrameBytes ${maxFrameBytes}`);
}
