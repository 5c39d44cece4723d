/** Memory that two actors of one machine both see: what users hold of it, and what its crossing needs. */

/** Where the bytes of a shared buffer are. */
export interface Backing {
  /** @throws when they can't be had here */
  readonly bytes: Uint8Array;
  readonly isShared: boolean;
  /** Called once, when the buffer is disposed. */
  release(): void;
}

let held: (buffer: SharedBuffer) => Backing;

/**
 * Memory that crosses by reference to actors of this machine: `shareBuffer` makes it, and any value may hold it. Elsewhere
 * its bytes are copied.
 *
 * Messages are the only order between the two sides: hand it over, and don't write before it has been handed back.
 */
export class SharedBuffer implements Disposable {
  readonly byteLength: number;
  #backing: Backing | undefined;

  static {
    held = (buffer) => buffer.#held;
  }

  constructor(byteLength: number, backing: Backing) {
    this.byteLength = byteLength;
    this.#backing = backing;
  }

  /**
   * The memory itself. It begins at a multiple of 8 in `bytes.buffer`, so that views of other types fit. A view keeps it,
   * also after the other side has disposed it or has ended.
   *
   * @throws {ReferenceError} when this side has disposed it
   * @throws {EncodeError} when it couldn't be mapped here
   * @throws {LimitError} when it would exceed `maxSharedBytes` here
   */
  get bytes(): Uint8Array {
    return this.#held.bytes;
  }

  /**
   * At its maker: whether it can cross by reference. Elsewhere: whether the maker sees the same memory; false for a copy, and
   * once the maker has disposed it or the connection has ended.
   */
  get isShared(): boolean {
    return this.#backing?.isShared ?? false;
  }

  /**
   * Gives the memory up. At its maker: for all actors, which keep it as long as they hold the buffer or views of it.
   * Elsewhere for this actor only, and those that it was passed on to; if it is sent here again, it is mapped again.
   */
  [Symbol.dispose](): void {
    const backing = this.#backing;
    this.#backing = undefined;
    backing?.release();
  }

  get #held(): Backing {
    if (this.#backing === undefined) throw new ReferenceError("this shared buffer has been disposed");
    return this.#backing;
  }
}

/** @throws {ReferenceError} when the buffer has been disposed */
export function backingOf(buffer: SharedBuffer): Backing {
  return held(buffer);
}

/** The shared buffers of one connection. */
export interface Sharing {
  /** What a message has in place of the buffer; undefined if its bytes must be copied. @throws as `backingOf` */
  give(buffer: SharedBuffer): readonly number[] | undefined;
  /** The buffer that such numbers stand for. @throws {FrameError} when they can't be true */
  take(numbers: readonly unknown[]): SharedBuffer;
}

/** What carries a value: a connection. It is asked for its shared buffers only if the value has one. */
export interface Carrier {
  readonly sharing: Sharing;
}

/** A buffer whose bytes were copied here. */
export function copiedBuffer(received: Uint8Array): SharedBuffer {
  // received bytes are a view of a chunk, which may begin at any place
  const bytes = new Uint8Array(received);
  return new SharedBuffer(bytes.length, { bytes, isShared: false, release() {} });
}
