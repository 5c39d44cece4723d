/**
 * Frames out of received chunks: a 32-bit little-endian length, then that many bytes. Pure, no I/O.
 *
 * A frame can arrive in three ways, cheapest first: it lies within one chunk and is handed out in place; it spans chunks
 * and is gathered in one allocation of its exact size; or even its header is split.
 */
import { FrameError } from "../errors.ts";

/** Bytes of the length in front of each frame. */
export const headerBytes = 4;

/**
 * Takes one frame, `source[start..end)`. The bytes are lent: keeping them keeps the whole chunk alive. Returning false
 * ends the delivery; `push` returns where the rest of the chunk begins.
 */
export type FrameSink = (source: Uint8Array, start: number, end: number) => boolean;

/** How the input of a connection ended: between two frames, or inside one. */
export type InputEnd = "clean" | "broken";

/** Cuts the chunks of one connection into frames. Too few bytes are a state; a bad length is an error. */
export class FrameDecoder {
  /** The largest frame to accept, in bytes. Grows after the handshake. */
  maxFrameBytes: number;
  readonly #header = new Uint8Array(headerBytes);
  #headerFilled = 0;
  #body: Uint8Array | undefined;
  #bodyFilled = 0;

  constructor(maxFrameBytes: number) {
    this.maxFrameBytes = maxFrameBytes;
  }

  /**
   * Feeds one chunk and hands each frame that is complete to `sink`, in order. Returns how many bytes of the chunk it has
   * used: all of them, unless `sink` ended the delivery.
   *
   * @throws {FrameError} when a length is 0 or above `maxFrameBytes`; the decoder cannot be used after that
   */
  push(chunk: Uint8Array, sink: FrameSink): number {
    let at = 0;
    if (this.#body !== undefined) {
      at = this.#fillBody(chunk, 0, sink);
      if (at < 0) return ~at;
    } else if (this.#headerFilled > 0) {
      at = this.#fillHeader(chunk);
      if (this.#headerFilled < headerBytes) return at;
      this.#headerFilled = 0;
      this.#startBody(this.#checked(readLength(this.#header, 0)));
      at = this.#fillBody(chunk, at, sink);
      if (at < 0) return ~at;
    }
    const { length } = chunk;
    while (length - at >= headerBytes) {
      const size = this.#checked(readLength(chunk, at));
      at += headerBytes;
      if (length - at < size) {
        this.#startBody(size);
        this.#fillBody(chunk, at, sink);
        return length;
      }
      const end = at + size;
      if (!sink(chunk, at, end)) return end;
      at = end;
    }
    while (at < length) this.#header[this.#headerFilled++] = chunk[at++]!;
    return length;
  }

  /** How many bytes of an incomplete frame have arrived. */
  get gatheredBytes(): number {
    return this.#body === undefined ? this.#headerFilled : headerBytes + this.#bodyFilled;
  }

  /** Tells how the input ended, if it ends now. */
  end(): InputEnd {
    return this.gatheredBytes === 0 ? "clean" : "broken";
  }

  #checked(size: number): number {
    if (size === 0) throw new FrameError("frame of 0 B: a frame holds one value");
    if (size > this.maxFrameBytes) {
      throw new FrameError(`frame of ${size} B exceeds maxFrameBytes ${this.maxFrameBytes}`);
    }
    return size;
  }

  #fillHeader(chunk: Uint8Array): number {
    let at = 0;
    while (this.#headerFilled < headerBytes && at < chunk.length)
      this.#header[this.#headerFilled++] = chunk[at++]!;
    return at;
  }

  #startBody(size: number): void {
    // not a Buffer, or every binary value inside would be one too; the slow allocator gives memory of its own
    const memory = Buffer.allocUnsafeSlow(size);
    this.#body = new Uint8Array(memory.buffer, memory.byteOffset, size);
    this.#bodyFilled = 0;
  }

  /** Copies the chunk's part of the body; returns where the next frame starts, or its complement to go no further. */
  #fillBody(chunk: Uint8Array, at: number, sink: FrameSink): number {
    const body = this.#body!;
    const take = Math.min(body.length - this.#bodyFilled, chunk.length - at);
    body.set(take === chunk.length ? chunk : chunk.subarray(at, at + take), this.#bodyFilled);
    this.#bodyFilled += take;
    if (this.#bodyFilled < body.length) return ~(at + take);
    this.#body = undefined;
    return sink(body, 0, body.length) ? at + take : ~(at + take);
  }
}

function readLength(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Writes a frame's length at `at`. */
export function writeLength(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = length;
  bytes[at + 1] = length >> 8;
  bytes[at + 2] = length >> 16;
  bytes[at + 3] = length >> 24;
}
