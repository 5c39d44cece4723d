/** Values and documents as JSON. Pure. */
import { SharedBuffer } from "../wire/shared-buffer.ts";

/** The version of the documents; it changes when something that scripts may rely on does. */
const schema = 1;

/** The one document of a command, `{ "schema": 1, "actors": [...] }` say, with a line break. */
export function jsonDocument(fields: Readonly<Record<string, unknown>>): string {
  return `${visible(JSON.stringify(toJson({ schema, ...fields }), undefined, 2))}\n`;
}

/** One of many: a line with its line break. */
export function jsonLine(fields: Readonly<Record<string, unknown>>): string {
  return `${visible(JSON.stringify(toJson({ schema, ...fields })))}\n`;
}

/**
 * What an actor returned, as JSON in one line. Where `columns` says how wide the terminal is, one that doesn't fit is
 * spread over several lines.
 */
export function jsonValue(value: unknown, columns?: number): string {
  const plain = toJson(value) ?? null;
  const line = visible(JSON.stringify(plain));
  if (columns === undefined || Bun.stringWidth(line) <= columns) return line;
  return visible(JSON.stringify(plain, undefined, 2));
}

/**
 * A value of the wire as one that JSON has: undefined is left out of objects, and null elsewhere; a bigint, NaN and the infinities, a string, unless the
 * bigint is a safe number; a date, a string in ISO form; bytes and shared buffers, a string in base64; a map, an object if all of its keys are
 * strings, otherwise a list of pairs; a set, a list; an error, an object with its name and message.
 */
export function toJson(value: unknown): unknown {
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof Uint8Array) return value.toBase64();
  if (value instanceof SharedBuffer) return value.bytes.toBase64();
  if (value instanceof Map) return mapToJson(value);
  if (value instanceof Set) return Array.from(value, toJson);
  if (value instanceof Error) return errorToJson(value);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, toJson(one)]));
}

function mapToJson(map: ReadonlyMap<unknown, unknown>): unknown {
  const entries = Array.from(map, ([key, one]) => [key, toJson(one)] as const);
  const isRecord = entries.every(
    (entry): entry is readonly [string, unknown] => typeof entry[0] === "string",
  );
  return isRecord ? Object.fromEntries(entries) : entries.map(([key, one]) => [toJson(key), one]);
}

/** An error as documents have it, with its code if it has one. */
function errorToJson(error: Error): unknown {
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  return { name: error.name, message: error.message, ...code };
}

/** JSON leaves DEL and the C1 controls as they are, and terminals may obey those. */
function visible(text: string): string {
  return text.replaceAll(
    /[\u007f-\u009f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
