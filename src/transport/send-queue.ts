/** What a link still has to write, in order. */

/** Where a write takes its bytes: `bytes[start..end)`. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** No more pieces than this are written at a time. */
export const mostPieces = 64;

/** Pieces that have been written are forgotten at the latest when there are so many of them. */
const mostWritten = 1_024;

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

  /** The first `mostPieces`. */
  get head(): Piece[] {
    return this.#pieces.slice(this.#first, this.#first + mostPieces);
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
      this.#first++;
    }
    if (this.#first === this.#pieces.length || this.#first >= mostWritten) {
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
