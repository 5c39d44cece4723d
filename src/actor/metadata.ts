/** Checks the metadata and the version that a program gives its actor. */
import { LimitError } from "../errors.ts";
import type { Metadata } from "./details.ts";

/** The longest version, in bytes of UTF-8. */
export const maxVersionBytes = 255;

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const control = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Copies and freezes the metadata that a program gives.
 *
 * @throws {TypeError} when it isn't a plain object of strings, finite numbers and booleans
 * @throws {LimitError} when it takes more than `maxBytes` encoded
 */
export function readMetadata(given: unknown, maxBytes: number): Metadata {
  if (!isRecord(given)) throw new TypeError("metadata must be a plain object");
  for (const [key, value] of Object.entries(given)) {
    const fault = metadataFault(key, value);
    if (fault !== undefined) throw new TypeError(fault);
  }
  const metadata = Object.freeze({ ...given }) as Metadata;
  checkMetadataSize(metadata, maxBytes);
  return metadata;
}

/**
 * Checks the version that a program gives.
 *
 * @throws {TypeError} when it isn't a text, is empty, or has control characters
 * @throws {LimitError} when it is too long
 */
export function readVersion(given: unknown): string {
  const fault = versionFault(given);
  if (fault !== undefined) throw new TypeError(fault);
  const version = given as string;
  checkVersionSize(version);
  return version;
}

/** What is wrong with a version, apart from its size. */
export function versionFault(version: unknown): string | undefined {
  if (typeof version !== "string") return `version must be a string, got ${typeof version}`;
  if (version === "") return "version must not be empty";
  if (control.test(version)) return `version ${JSON.stringify(version.slice(0, 32))} has a control character`;
  return version.isWellFormed() ? undefined : "version is not well-formed unicode";
}

/** What is wrong with one entry of a metadata record. */
export function metadataFault(key: string, value: unknown): string | undefined {
  const shown = JSON.stringify(key.slice(0, 32));
  if (!key.isWellFormed()) return `metadata key ${shown} is not well-formed unicode`;
  if (typeof value === "boolean") return undefined;
  if (typeof value === "number")
    return Number.isFinite(value) ? undefined : `metadata ${shown} must be a finite number, got ${value}`;
  if (typeof value !== "string") {
    const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
    return `metadata ${shown} must be a string, finite number or boolean, got ${type}`;
  }
  return value.isWellFormed() ? undefined : `metadata ${shown} is not well-formed unicode`;
}

/** Whether `value` is a plain object, as a literal makes or a decoder. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** @throws {LimitError} when it is too long */
export function checkVersionSize(version: string): void {
  const bytes = version.length * 3 <= maxVersionBytes ? 0 : Buffer.byteLength(version);
  if (bytes > maxVersionBytes) throw new LimitError(`version of ${bytes} B exceeds ${maxVersionBytes} B`);
}

/** @throws {LimitError} when it takes more than `maxBytes` encoded */
export function checkMetadataSize(metadata: Metadata, maxBytes: number): void {
  const bytes = metadataBytes(metadata);
  if (bytes > maxBytes) throw new LimitError(`metadata of ${bytes} B exceeds maxMetadataBytes ${maxBytes}`);
}

/** The bytes that metadata takes as msgpack, with the shortest form for each part. */
export function metadataBytes(metadata: Metadata): number {
  let bytes = 0;
  let count = 0;
  for (const [key, value] of Object.entries(metadata)) {
    count++;
    bytes += textBytes(key);
    bytes +=
      typeof value === "string" ? textBytes(value) : typeof value === "number" ? numberBytes(value) : 1;
  }
  return bytes + (count < 16 ? 1 : count < 0x1_0000 ? 3 : 5);
}

function textBytes(text: string): number {
  const bytes = Buffer.byteLength(text);
  return bytes + (bytes < 32 ? 1 : bytes < 0x100 ? 2 : bytes < 0x1_0000 ? 3 : 5);
}

function numberBytes(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) return 9;
  if (value < 0) return value >= -32 ? 1 : value >= -0x80 ? 2 : value >= -0x8000 ? 3 : 5;
  return value < 0x80 ? 1 : value < 0x100 ? 2 : value < 0x1_0000 ? 3 : 5;
}
