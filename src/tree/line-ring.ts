/**
 * Lines in a fixed amount of memory: each new one overwrites the oldest. Readers have cursors of their own and wait for nobody,
 * so that a slow one costs nothing; it learns how many lines it has missed. Pure.
 */

/** What is stored with a line. */
export interface LineTags {
  /** In milliseconds since 1970. */
  readonly time: number;
  /** Which run of the child it is from. */
  readonly run: number;
  readonly isStderr: boolean;
  /** Whether the line goes on in the next one of its stream: it was too long. */
  readonly continues: boolean;
}

export interface StoredLine extends LineTags {
  readonly text: string;
}

/** Where a reader stands. */
export interface Cursor {
  /** The number of the next line to read. */
  next: number;
  /** Where that begins. */
  at: number;
}

/** Each line's time (float64), length and tags (uint32 each). */
const headerBytes = 16;
const stderrFlag = 1;
const continuesFlag = 2;
const runShift = 2;
const maxRun = 0x3fff_ffff;

export class LineRing {
  readonly #capacity: number;
  /** Created with the first line: many children never write one. */
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array();
  readonly #header = Buffer.alloc(headerBytes);
  /** Positions only grow; where they lie in `#bytes` is their remainder. */
  #start = 0;
  #end = 0;
  /** The numbers of the oldest line, and of the next one to come. */
  #first = 0;
  #next = 0;

  /** `capacity` in bytes, 16 for each line included. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many lines were added so far. */
  get added(): number {
    return this.#next;
  }

  /** The runs that there are lines of. Looks at every line. */
  runs(): Set<number> {
    const runs = new Set<number>();
    const cursor = this.begin();
    for (let tags = this.peek(cursor); tags !== undefined; tags = this.peek(cursor)) {
      runs.add(tags.run);
      this.pass(cursor);
    }
    return runs;
  }

  /** A cursor at the oldest line. */
  begin(): Cursor {
    return { next: this.#first, at: this.#start };
  }

  /** A cursor at the next line to come. */
  end(): Cursor {
    return { next: this.#next, at: this.#end };
  }

  /** The text must be shorter than the capacity by more than a header. */
  push(text: Uint8Array, { time, run, isStderr, continues }: LineTags): void {
    const size = headerBytes + text.length;
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.#capacity);
    while (this.#end + size - this.#start > this.#bytes.length) {
      this.#start += headerBytes + this.#lengthAt(this.#start);
      this.#first++;
    }
    this.#header.writeDoubleBE(time, 0);
    this.#header.writeUInt32BE(text.length, 8);
    const flags = (isStderr ? stderrFlag : 0) | (continues ? continuesFlag : 0);
    this.#header.writeUInt32BE(((Math.min(run, maxRun) << runShift) | flags) >>> 0, 12);
    this.#write(this.#header);
    this.#write(text);
    this.#next++;
  }

  /** How many lines were overwritten before this reader got to them; moves it to the oldest one. */
  skip(cursor: Cursor): number {
    const missed = this.#first - cursor.next;
    if (missed <= 0) return 0;
    cursor.next = this.#first;
    cursor.at = this.#start;
    return missed;
  }

  /** The tags of the next line; undefined when there is none. */
  peek(cursor: Cursor): LineTags | undefined {
    this.skip(cursor);
    return cursor.next === this.#next ? undefined : this.#tagsAt(cursor.at);
  }

  /** Reads a line, and moves on; undefined when there is none. Text that isn't UTF-8 has U+FFFD in place of what is broken. */
  read(cursor: Cursor): StoredLine | undefined {
    const tags = this.peek(cursor);
    if (tags === undefined) return undefined;
    const length = this.#lengthAt(cursor.at);
    const bytes = this.#read(cursor.at + headerBytes, length);
    cursor.at += headerBytes + length;
    cursor.next++;
    return { ...tags, text: bytes.toString("utf8") };
  }

  /** Moves on without reading; there must be a line. */
  pass(cursor: Cursor): void {
    cursor.at += headerBytes + this.#lengthAt(cursor.at);
    cursor.next++;
  }

  #tagsAt(at: number): LineTags {
    const header = this.#read(at, headerBytes);
    const tags = header.readUInt32BE(12);
    return {
      time: header.readDoubleBE(0),
      run: tags >>> runShift,
      isStderr: (tags & stderrFlag) !== 0,
      continues: (tags & continuesFlag) !== 0,
    };
  }

  #lengthAt(at: number): number {
    return this.#read(at + 8, 4).readUInt32BE(0);
  }

  /** A view if possible: what is read must be used at once. */
  #read(at: number, length: number): Buffer {
    const from = at % this.#bytes.length;
    const whole = Buffer.from(this.#bytes.buffer, from, Math.min(length, this.#bytes.length - from));
    if (whole.length === length) return whole;
    return Buffer.concat([whole, Buffer.from(this.#bytes.buffer, 0, length - whole.length)]);
  }

  #write(bytes: Uint8Array): void {
    const from = this.#end % this.#bytes.length;
    const room = this.#bytes.length - from;
    this.#bytes.set(bytes.length > room ? bytes.subarray(0, room) : bytes, from);
    if (bytes.length > room) this.#bytes.set(bytes.subarray(room), 0);
    this.#end += bytes.length;
  }
}
