/**
 * What travels with a request besides its arguments, for those who trace it: the last field of `call`, `stream` and `open`.
 * Pure.
 */

/** Names and values, such as `traceparent`. */
export type Meta = Readonly<Record<string, string>>;

/** A baggage of 8,192 bytes, the most that the W3C recommends, fits beside a trace context. */
const maxChars = 10_240;
const maxEntries = 16;

/**
 * What a request's `meta` field says: its entries that are texts. Undefined if there are none, or if it's too large: a peer
 * can't make those who trace keep or pass on much, nor make a request fail.
 */
export function readMeta(field: unknown): Meta | undefined {
  if (typeof field !== "object" || field === null) return undefined;
  if (Array.isArray(field) || ArrayBuffer.isView(field) || field instanceof Date) return undefined;
  if (Object.keys(field).length > maxEntries) return undefined;
  const texts = Object.entries(field).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  const chars = texts.reduce((sum, [name, text]) => sum + name.length + text.length, 0);
  return texts.length === 0 || chars > maxChars ? undefined : Object.fromEntries(texts);
}
