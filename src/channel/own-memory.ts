/** Memory that this process has open, and can give to others: of the shared buffers that it made, or passes on. */
import { asError, LimitError } from "../errors.ts";
import { closeMemfd, createMemfd, mapMemfd, type Memfd } from "../transport/memfd.ts";
import { type Backing, SharedBuffer } from "../wire/shared-buffer.ts";

/** What a small buffer counts as: it takes a descriptor here, and a mapping at each end. */
const leastCounted = 65_536;

/** As the buffer counts towards `maxSharedBytes`. */
export function countedBytes(byteLength: number): number {
  return Math.max(byteLength, leastCounted);
}

/** A connection that memory was given to. */
export interface Taker {
  /** Tells the peer that it is released. */
  withdraw(memory: OwnMemory): void;
}

let lastId = 0;
/** What all of them that are open count. */
let openBytes = 0;
/** Releases the memory of a buffer that was never disposed. */
const lost = new FinalizationRegistry<OwnMemory>((memory) => memory.release());

/** Open until it is released and each peer that it was given to has confirmed that. */
export class OwnMemory implements Backing {
  readonly id: number = ++lastId;
  bytes: Uint8Array;
  /** Undefined where the system has none: there the bytes are copied. */
  readonly memfd: Memfd | undefined;
  isReleased = false;
  #isClosed = false;
  readonly #counted: number;
  readonly #takers = new Set<Taker>();

  constructor(bytes: Uint8Array, memfd: Memfd | undefined) {
    this.bytes = bytes;
    this.memfd = memfd;
    this.#counted = countedBytes(bytes.length);
    openBytes += this.#counted;
  }

  get isShared(): boolean {
    return this.memfd !== undefined;
  }

  release(): void {
    if (this.isReleased) return;
    this.isReleased = true;
    // the mapping goes with the last view
    this.bytes = new Uint8Array();
    for (const taker of this.#takers) taker.withdraw(this);
    this.#closeIfLeft();
  }

  /** Stays open until `leave`: the peer may have yet to open it. */
  join(taker: Taker): void {
    this.#takers.add(taker);
  }

  leave(taker: Taker): void {
    if (this.#takers.delete(taker) && this.isReleased) this.#closeIfLeft();
  }

  #closeIfLeft(): void {
    if (this.#takers.size > 0 || this.#isClosed) return;
    this.#isClosed = true;
    openBytes -= this.#counted;
    if (this.memfd !== undefined) closeMemfd(this.memfd);
  }
}

/** @throws {LimitError} when one more would exceed `maxSharedBytes` */
export function checkRoom(byteLength: number, maxSharedBytes: number): void {
  const after = openBytes + countedBytes(byteLength);
  if (after <= maxSharedBytes) return;
  const text = `shared buffers would take ${after} B, maxSharedBytes is ${maxSharedBytes}: dispose those that aren't used any more, or raise it`;
  throw new LimitError(text);
}

/**
 * Makes a buffer of zeros.
 *
 * @throws {LimitError} when all of them would exceed `maxSharedBytes`, or the system has no more memory
 */
export function createSharedBuffer(byteLength: number, maxSharedBytes: number): SharedBuffer {
  checkRoom(byteLength, maxSharedBytes);
  const memory =
    process.platform === "linux"
      ? newMemory(byteLength)
      : new OwnMemory(new Uint8Array(byteLength), undefined);
  const buffer = new SharedBuffer(byteLength, memory);
  lost.register(buffer, memory);
  return buffer;
}

function newMemory(byteLength: number): OwnMemory {
  let memfd: Memfd | undefined;
  try {
    memfd = createMemfd(byteLength);
    return new OwnMemory(mapMemfd(memfd), memfd);
  } catch (error) {
    if (memfd !== undefined) closeMemfd(memfd);
    throw new LimitError(`no shared buffer of ${byteLength} B: ${asError(error).message}`, { cause: error });
  }
}
