/** Reads the details of a registration from the wire: what an actor registers, and what a registrar answers. */
import type { ActorState, Details, Metadata } from "../actor/details.ts";
import {
  checkMetadataSize,
  checkVersionSize,
  isRecord,
  metadataFault,
  versionFault,
} from "../actor/metadata.ts";
import { FrameError } from "../errors.ts";
import { checkFunctions, type ExposedFunction } from "../rpc/callee/dispatch.ts";

/** The longest uuid of an actor. */
const maxUuidLength = 64;

/** Of an actor that registered without details. */
export const noDetails: Details = Object.freeze({
  version: null,
  metadata: Object.freeze({}),
  parent: null,
  startedAt: 0,
  functions: Object.freeze([]),
  state: "ready",
});

/**
 * Reads what `encodeDetails` made. What is absent at the end gets its default.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeDetails(form: unknown): Details {
  if (form === undefined || form === null) return noDetails;
  if (!Array.isArray(form)) throw malformed("they are not a list");
  const [version, metadata, parent, startedAt, functions, state] = form as unknown[];
  return {
    version: decodeVersion(version),
    metadata: decodeMetadata(metadata),
    parent: decodeParent(parent),
    startedAt: decodeTime(startedAt),
    functions: decodeFunctions(functions),
    state: decodeState(state),
  };
}

/** @throws {FrameError} when it isn't a record of strings, finite numbers and booleans */
export function decodeMetadata(form: unknown): Metadata {
  if (form === undefined || form === null) return noDetails.metadata;
  if (!isRecord(form)) throw malformed("metadata is not a map");
  for (const key in form) {
    const fault = metadataFault(key, form[key]);
    if (fault !== undefined) throw malformed(fault);
  }
  return form as Metadata;
}

/** @throws {FrameError} when it is an unknown state */
export function decodeState(form: unknown): ActorState {
  if (form === undefined || form === null) return "ready";
  if (form !== "ready" && form !== "draining") throw malformed("an unknown state");
  return form;
}

function decodeVersion(form: unknown): string | null {
  if (form === undefined || form === null) return null;
  const fault = versionFault(form);
  if (fault !== undefined) throw malformed(fault);
  return form as string;
}

function decodeParent(form: unknown): string | null {
  if (form === undefined || form === null) return null;
  if (typeof form !== "string" || form.length > maxUuidLength) throw malformed("the parent is not a uuid");
  return form;
}

function decodeTime(form: unknown): number {
  if (form === undefined || form === null) return 0;
  if (typeof form !== "number" || !Number.isFinite(form) || form < 0)
    throw malformed("the time of the start is not a number from 0");
  return form;
}

function decodeFunctions(form: unknown): readonly ExposedFunction[] {
  if (form === undefined || form === null) return noDetails.functions;
  if (!Array.isArray(form)) throw malformed("the functions are not a list");
  return form.map((pair: unknown) => {
    const [name, verb] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (typeof name !== "string" || (verb !== "run" && verb !== "stream" && verb !== "open"))
      throw malformed("a function is not a name and a verb");
    return { name, verb };
  });
}

/**
 * Checks the size of everything that an actor registers.
 *
 * @throws {LimitError} when something is too large
 */
export function checkDetailsLimits(details: Details, maxMetadataBytes: number): void {
  const { version, metadata, functions } = details;
  if (version !== null) checkVersionSize(version);
  checkMetadataSize(metadata, maxMetadataBytes);
  checkFunctions(functions.map(({ name }) => name));
}

function malformed(what: string): FrameError {
  return new FrameError(`malformed details of a registration: ${what}`);
}
