/**
 * Estimates how much memory unread values take. It can be far more than their frames had: a map of one byte takes 64,
 * and one byte of binary keeps the whole chunk in which it arrived. Pure: no I/O.
 */

const mapBytes = 64;
const arrayBytes = 32;
const slotBytes = 8;
const textBytes = 24;
const errorBytes = 1_024;
/** The most memory that one byte of a frame can turn into. */
const heaviest = mapBytes + slotBytes;
/** The least to assume for a value with parts, since one of them may be a view of a chunk. */
const chunkBytes = 65_536;

/** An upper bound for the memory of a value from a frame of `bytes`, computed without looking at its parts. */
export function mostKept(value: unknown, bytes: number): number {
  if (typeof value !== "object" || value === null) return bytes;
  if (value instanceof Uint8Array) return value.buffer.byteLength;
  return Math.max(bytes * heaviest, chunkBytes);
}

/** Adds up the memory that values keep; memory shared by several of them counts once. */
export class KeptBytes {
  total = 0;
  readonly #buffers = new Set<ArrayBufferLike>();

  /** Adds a value from a frame of `bytes`; it counts at least that much. */
  add(value: unknown, bytes: number): void {
    const before = this.total;
    this.#weigh(value);
    this.total = Math.max(this.total, before + bytes);
  }

  #weigh(value: unknown): void {
    if (typeof value === "string") this.total += textBytes + value.length;
    else if (typeof value !== "object" || value === null) return;
    else if (value instanceof Uint8Array) this.#weighBuffer(value.buffer);
    else if (Array.isArray(value)) this.#weighAll(value, arrayBytes);
    else if (value instanceof Map) {
      this.#weighAll(value.keys(), mapBytes);
      this.#weighAll(value.values(), mapBytes);
    } else if (value instanceof Set) this.#weighAll(value, mapBytes);
    else this.#weighRecord(value);
  }

  #weighBuffer(buffer: ArrayBufferLike): void {
    this.total += mapBytes;
    if (this.#buffers.has(buffer)) return;
    this.#buffers.add(buffer);
    this.total += buffer.byteLength;
  }

  #weighAll(values: Iterable<unknown>, own: number): void {
    this.total += own;
    for (const value of values) {
      this.total += slotBytes;
      this.#weigh(value);
    }
  }

  #weighRecord(record: object): void {
    this.total += record instanceof Error ? errorBytes : mapBytes;
    for (const key of Object.keys(record)) {
      this.total += slotBytes;
      this.#weigh((record as Record<string, unknown>)[key]);
    }
  }
}
