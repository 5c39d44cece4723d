/** Protocol Buffers, as far as etcd's messages need them: varints, byte strings and nested messages. Pure. */
import { FrameError } from "../errors.ts";

const varint = 0;
const lengthDelimited = 2;
const encoder = new TextEncoder();

/** Writes the fields of one message. Zero, false and empty values are left out, as they are what a reader assumes. */
export class ProtoWriter {
  #bytes = new Uint8Array(128);
  #length = 0;

  number(field: number, value: number): this {
    if (value === 0) return this;
    this.#tag(field, varint);
    this.#varint(value);
    return this;
  }

  flag(field: number, value: boolean): this {
    return this.number(field, value ? 1 : 0);
  }

  text(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    return value.length === 0 ? this : this.#delimited(field, value);
  }

  /** Written even if it's empty: that it is there says something. */
  message(field: number, message: ProtoWriter): this {
    return this.#delimited(field, message.finish());
  }

  /** What was written; valid until more is. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #delimited(field: number, value: Uint8Array): this {
    this.#tag(field, lengthDelimited);
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  #tag(field: number, type: number): void {
    this.#varint(field * 8 + type);
  }

  #varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a number for etcd: ${value}`);
    this.#reserve(10);
    let left = value;
    // by division: shifts would cut it to 32 bits
    for (; left >= 0x80; left = Math.floor(left / 0x80)) this.#bytes[this.#length++] = (left % 0x80) | 0x80;
    this.#bytes[this.#length++] = left;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Reads the fields of one message in the order in which they come: `field()`, then its value or `skip()`. */
export class ProtoReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #type = 0;

  constructor(bytes: Uint8Array, from = 0, to: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  /** The number of the next field, or 0 at the end. */
  field(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.number();
    this.#type = tag & 7;
    return Math.floor(tag / 8);
  }

  /** A varint as a signed 64-bit integer; exact up to 2^53. */
  number(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) throw cutShort();
      const byte = this.#bytes[this.#at++]!;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= bits << 31;
      if (byte < 0x80) return (high | 0) * 0x1_0000_0000 + (low >>> 0);
    }
    throw new FrameError("malformed answer from etcd: a varint of more than 10 bytes");
  }

  /** A view of the received bytes. */
  bytes(): Uint8Array {
    const start = this.#take();
    return this.#bytes.subarray(start, this.#at);
  }

  text(): string {
    const start = this.#take();
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, this.#at - start).toString("utf8");
  }

  message(): ProtoReader {
    const start = this.#take();
    return new ProtoReader(this.#bytes, start, this.#at);
  }

  skip(): void {
    if (this.#type === varint) this.number();
    else if (this.#type === lengthDelimited) this.#take();
    else if (this.#type === 1) this.#step(8);
    else if (this.#type === 5) this.#step(4);
    else throw new FrameError(`malformed answer from etcd: a field of type ${this.#type}`);
  }

  /** Steps over a length and what it counts; returns where that starts. */
  #take(): number {
    const length = this.number();
    return this.#step(length);
  }

  #step(length: number): number {
    const start = this.#at;
    if (length < 0 || length > this.#end - start) throw cutShort();
    this.#at = start + length;
    return start;
  }
}

function cutShort(): FrameError {
  return new FrameError("malformed answer from etcd: it is cut short");
}
