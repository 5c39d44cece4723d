/**
 * Cuts a stream of bytes into lines, whatever it holds: chunks may end within a character, and what never has a newline is cut at
 * 16 KiB. Pure.
 */

/** Longer lines are cut, never within a UTF-8 character. */
export const maxLineBytes = 16_384;
const newline = 0x0a;
const carriageReturn = 0x0d;

/** Called with each line, without its end. The bytes are only valid during the call. */
export type OnLine = (line: Uint8Array, continues: boolean) => void;

export class LineSplitter {
  readonly #onLine: OnLine;
  /** The unfinished line. Created when a chunk ends in one. */
  #line: Uint8Array | undefined;
  #length = 0;

  constructor(onLine: OnLine) {
    this.#onLine = onLine;
  }

  /** What has come of the unfinished line. */
  get unfinished(): Uint8Array {
    return this.#line?.subarray(0, this.#length) ?? new Uint8Array();
  }

  add(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const found = chunk.indexOf(newline, at);
      const end = found < 0 ? chunk.length : found;
      if (this.#length === 0 && found >= 0 && end - at <= maxLineBytes) this.#emit(chunk.subarray(at, end));
      else this.#append(chunk.subarray(at, end), found >= 0);
      at = end + 1;
    }
  }

  /** At the end of the stream: the last line, if it has no newline. */
  end(): void {
    if (this.#length > 0) this.#emit(this.unfinished);
    this.#length = 0;
  }

  /** Adds to the unfinished line, in pieces that fit. */
  #append(bytes: Uint8Array, isEnd: boolean): void {
    this.#line ??= new Uint8Array(maxLineBytes);
    const line = this.#line;
    let at = 0;
    while (at < bytes.length) {
      if (this.#length === maxLineBytes) this.#cut(line);
      const taken = bytes.subarray(at, at + maxLineBytes - this.#length);
      line.set(taken, this.#length);
      this.#length += taken.length;
      at += taken.length;
    }
    if (!isEnd) return;
    this.#emit(this.unfinished);
    this.#length = 0;
  }

  /** Hands out what there is of the line, up to its last whole character. */
  #cut(line: Uint8Array): void {
    const end = wholeCharacters(line);
    this.#onLine(line.subarray(0, end), true);
    line.copyWithin(0, end);
    this.#length = line.length - end;
  }

  #emit(line: Uint8Array): void {
    this.#onLine(line.at(-1) === carriageReturn ? line.subarray(0, -1) : line, false);
  }
}

/** The length without a UTF-8 character at the end that isn't complete. */
function wholeCharacters(bytes: Uint8Array): number {
  // a character has up to four bytes; all but the first are 10xxxxxx
  for (let back = 1; back <= 3; back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return size > back ? bytes.length - back : bytes.length;
  }
  return bytes.length; // not UTF-8, or complete with four
}
