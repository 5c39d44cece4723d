/** Which values msgpack carries just as they are. That is the common case, and the only one on a hot path. */
import { largeBinaryBytes } from "./large-binary.ts";

/** Values nested deeper than this cannot cross. A cycle is infinitely deep. */
export const maxDepth = 1_000;
const minInt64 = -(2n ** 63n);
const maxUint64 = 2n ** 64n - 1n;

/** Whether one of msgpack's integer types can hold the value. */
export function fitsInt64(value: bigint): boolean {
  return value >= minInt64 && value <= maxUint64;
}

const bufferPrototype: unknown = Buffer.prototype;

/** Whether a byte array is a Buffer. It must arrive as one, because its methods (`toString`, `equals`) differ. */
export function isBuffer(bytes: Uint8Array): boolean {
  return Object.getPrototypeOf(bytes) === bufferPrototype;
}

/** Whether the value can be encoded just as it is, without a copy or the rich form. Cheap for small values. */
export function isPlain(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return true;
    case "number":
      return value !== 0 || 1 / value > 0;
    case "bigint":
      return fitsInt64(value);
    case "object":
      return value === null || isPlainObject(value, depth + 1);
    default:
      return false;
  }
}

function isPlainObject(value: object, depth: number): boolean {
  if (depth > maxDepth) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Array.prototype) {
    for (const item of value as unknown[]) if (!isPlain(item, depth)) return false;
    return true;
  }
  if (prototype === Object.prototype || prototype === null) {
    const record = value as Record<string, unknown>;
    for (const key in record) if (key === "__proto__" || !isPlain(record[key], depth)) return false;
    return true;
  }
  if (prototype === Date.prototype) return true;
  return value instanceof Uint8Array && prototype !== bufferPrototype && value.length < largeBinaryBytes;
}
