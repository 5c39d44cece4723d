/** What a link still has to write, in order. */

/** Where a write takes its bytes: `bytes[start..end)`. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** No more pieces than this are written at a time. */
export const mostPieces = 64;

/** Whether its memory was transferred away or shrunk, as a user may do with his own. */
export function isGone({ bytes, end }: Piece): boolean {
  return end > bytes.length;
}

/** In place of a piece that has been written: its memory isn't kept. */
const written: Piece = { bytes: new Uint8Array(), start: 0, end: 0 };

/** Fewer pieces that have been written aren't worth moving the others for. */
const leastForgotten = 1_024;

export class SendQueue {
  #pieces: Piece[] = [];
  /** Where the pieces that are still to be written begin. */
  #first = 0;
  #bytes = 0;

  /** How many bytes are to be written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a piece, which isn't empty. */
  push(piece: Piece): void {
    this.#pieces.push(piece);
    this.#bytes += piece.end - piece.start;
  }

  get first(): Piece | undefined {
    return this.#pieces[this.#first];
  }

  /** The first pieces whose memory is there, at most `mostPieces`. */
  get head(): Piece[] {
    const head = this.#pieces.slice(this.#first, this.#first + mostPieces);
    const gone = head.findIndex(isGone);
    return gone < 0 ? head : head.slice(0, gone);
  }

  /** The first bytes have been written. */
  drop(bytes: number): void {
    let rest = bytes;
    this.#bytes -= bytes;
    while (rest > 0) {
      const piece = this.#pieces[this.#first]!;
      const start = piece.start + rest;
      if (start < piece.end) {
        this.#pieces[this.#first] = { ...piece, start };
        break;
      }
      rest = start - piece.end;
      this.#pieces[this.#first++] = written;
    }
    const { length } = this.#pieces;
    // half of them at least, so that each piece is moved once on average, however many wait
    if (this.#first === length || (this.#first >= leastForgotten && 2 * this.#first >= length)) {
      this.#pieces.splice(0, this.#first);
      this.#first = 0;
    }
  }

  clear(): void {
    this.#pieces = [];
    this.#first = 0;
    this.#bytes = 0;
  }
}
