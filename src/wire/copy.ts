import { headerBytes } from "./frame.ts";
import { Batch, decode } from "./codec.ts";
import { fromWire, toWire } from "./values.ts";

/**
 * The value as a peer would receive it: for calls of an actor to itself, which must not share what other calls copy.
 *
 * @throws {EncodeError} with the path to the value that cannot cross
 */
export function copyOverWire(value: unknown, what: string): unknown {
  if (typeof value !== "object" && typeof value !== "function" && value !== 0) {
    toWire(value, what);
    return value;
  }
  const wire = toWire(value, what);
  const batch = new Batch();
  batch.add([wire.value], 0xffff_ffff);
  const parts: Uint8Array[] = [];
  batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
  const frame = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  const bytes = new Uint8Array(frame.buffer, frame.byteOffset + headerBytes, frame.length - headerBytes);
  const [copied] = decode(bytes, 0, bytes.length) as [unknown];
  return fromWire(copied, wire.rich);
}
