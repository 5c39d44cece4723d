/**
 * What values that nobody has read take in memory. That may be much more than their frames had: a map of one byte takes 64, and
 * one byte of binary keeps the whole chunk that it came in. Pure: no I/O.
 */

const mapBytes = 64;
const arrayBytes = 32;
const slotBytes = 8;
const textBytes = 24;
const errorBytes = 1_024;
/** What a frame's byte may become, at the most. */
const heaviest = mapBytes + slotBytes;
/** The least that a value may keep that has parts: one of them may be a view of a chunk. */
const chunkBytes = 65_536;

/** An upper bound of what a value keeps that came in a frame of `bytes`, without a look at its parts. */
export function mostKept(value: unknown, bytes: number): number {
  if (typeof value !== "object" || value === null) return bytes;
  if (value instanceof Uint8Array) return value.buffer.byteLength;
  return Math.max(bytes * heaviest, chunkBytes);
}

/** Adds up what values keep; memory that several of them share counts once. */
export class KeptBytes {
  total = 0;
  readonly #buffers = new Set<ArrayBufferLike>();

  /** `bytes`: of its frame, which it never counts less than. */
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
