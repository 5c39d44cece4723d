/** Values to bytes and back, as two peers would do it, and a way to compare what went in with what came out. */
import { Batch } from "../../src/wire/codec.ts";
import { decode } from "../../src/wire/decode.ts";
import { headerBytes } from "../../src/wire/frame.ts";
import { toWire } from "../../src/wire/encode.ts";
import { fromWire } from "../../src/wire/received.ts";

const unlimited = 0xffff_ffff;

/** One frame with its length in front. */
export function frameOf(message: readonly unknown[], maxFrameBytes: number = unlimited): Uint8Array {
  const batch = new Batch();
  batch.add(message, maxFrameBytes);
  return drained(batch);
}

/** Everything that waits in the batch, as it would leave. */
export function drained(batch: Batch): Uint8Array {
  const parts: Uint8Array[] = [];
  batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
  return joined(parts);
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The message in one whole frame. */
export function messageOf(frame: Uint8Array): unknown {
  return decode(frame, headerBytes, frame.length);
}

/** The value as the peer has it. */
export function crossed(value: unknown): unknown {
  const wire = toWire(value, "value");
  const [arrived] = messageOf(frameOf([wire.value])) as [unknown];
  return fromWire(arrived, wire.rich);
}

export function hexOf(bytes: Uint8Array): string {
  return bytes.toHex();
}

export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replaceAll(" ", ""));
}

/** A text that is the same only for values that are the same in every part: types, signs of zero, order, prototypes. */
export function portrait(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof Uint8Array) return `${value.constructor.name}(${value.toHex()})`;
  if (value instanceof Map)
    return `Map{${Array.from(value, (pair) => pair.map(portrait).join("=>")).join()}}`;
  if (value instanceof Set) return `Set{${Array.from(value, portrait).join()}}`;
  if (value instanceof Error) return `${value.constructor.name}(${value.name}: ${value.message})`;
  if (Array.isArray(value)) return `[${Array.from(value, portrait).join()}]`;
  if (Object.getPrototypeOf(value) !== Object.prototype) return "an object of a strange prototype";
  const entries = Object.entries(Object.getOwnPropertyDescriptors(value));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${portrait(entry.value)}`).join()}}`;
}
