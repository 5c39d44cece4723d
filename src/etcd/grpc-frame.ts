/** The messages of a gRPC stream: each has a byte that says whether it is compressed, and its length in 4 bytes. Pure. */
import { FrameError } from "../errors.ts";

const headerBytes = 5;
/** A page of a thousand actors, each of them as large as may be, is smaller. */
const maxMessageBytes = 64 * 1_048_576;

export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headerBytes);
  return frame;
}

/** Finds messages in received chunks. Each byte of a message is copied at most once. */
export class GrpcDecoder {
  readonly #onMessage: (message: Uint8Array) => void;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** How many bytes are needed for the next step. */
  #needed = headerBytes;

  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /** Whether half a message is buffered. */
  get isBroken(): boolean {
    return this.#buffered > 0;
  }

  /** @throws {FrameError} when a message is compressed, which wasn't offered, or larger than 64 MiB */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered < this.#needed) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#buffered);
    let at = 0;
    this.#needed = headerBytes;
    while (bytes.length - at >= headerBytes) {
      if (bytes[at] !== 0) throw new FrameError("a compressed gRPC message, which wasn't offered");
      const length = readLength(bytes, at + 1);
      if (length > maxMessageBytes) throw new FrameError(`a gRPC message of ${length} B`);
      const end = at + headerBytes + length;
      if (end > bytes.length) {
        this.#needed = end - at;
        break;
      }
      this.#onMessage(bytes.subarray(at + headerBytes, end));
      at = end;
    }
    this.#chunks = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#buffered = bytes.length - at;
  }
}

function readLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
