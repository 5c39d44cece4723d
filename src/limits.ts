import { LimitError } from "./errors.ts";

/** Every bound of the runtime. Times are milliseconds; sizes are bytes; children inherit them. */
export interface Limits {
  /**
   * From an open connection to a finished handshake, and from one part of a frame to the next. Stops peers that connect and say
   * nothing, or half of something.
   */
  readonly handshakeTimeoutMs: number;
  /** From the start of a dial to an open connection, for each address. */
  readonly dialTimeoutMs: number;
  /** One try of asking a registry address who is there; a silent one gets three. */
  readonly probeTimeoutMs: number;
  /** How long a child may take to end after the cancel message, before SIGTERM. */
  readonly stopGraceMs: number;
  /** How long a child may take to end after SIGTERM, before SIGKILL. */
  readonly stopTermMs: number;
  /**
   * The largest frame to accept and to send; control messages and errors may have 64 KiB whatever it is. Stops a peer from making
   * this process allocate without bound.
   */
  readonly maxFrameBytes: number;
  /**
   * The most values in one frame, sent or received: elements, keys, and what holds them. Small values take much more memory than
   * bytes, so a frame may take at most 10 times its size, and 8 bytes for each of these, once it is decoded. Stops a frame of
   * empty maps from blocking the event loop and filling the memory.
   */
  readonly maxFrameValues: number;
  /**
   * Bytes that may wait for a peer that does not read, for each connection. There is a quarter more for control messages and errors;
   * a peer that lets even that fill up loses the connection. Stops a slow peer from filling the memory with its answers.
   */
  readonly maxPendingSendBytes: number;
  /**
   * Bytes that all connections together may hold: not taken by their peers, of unfinished frames, not read by streams and dialogs.
   * The connection that holds the most ends first. Stops peers that ask for much and read nothing, or send halves of frames.
   */
  readonly maxBufferedBytes: number;
  /**
   * Connections to peers; never more than the files that the process may have open allow. Stops a flood from using up the file
   * descriptors.
   */
  readonly maxConnections: number;
  /**
   * Connections, for each transport, that have not proved yet who is there. They take no place of peers; one more ends
   * the oldest. Stops those who connect and say nothing.
   */
  readonly maxStrangers: number;
  /** Calls that one peer may have in flight here. */
  readonly maxCallsInFlight: number;
  /** Messages that a stream or dialog may have under way, for each direction. */
  readonly creditMessages: number;
  /** Bytes that a stream or dialog may have under way, for each direction. */
  readonly creditBytes: number;
  /** Names that the lookup cache keeps current. */
  readonly maxCachedNames: number;
}

export const defaultLimits: Limits = Object.freeze({
  handshakeTimeoutMs: 5_000,
  dialTimeoutMs: 5_000,
  probeTimeoutMs: 1_000,
  stopGraceMs: 1_000,
  stopTermMs: 2_000,
  maxFrameBytes: 67_108_864,
  maxFrameValues: 2_000_000,
  maxPendingSendBytes: 67_108_864,
  maxBufferedBytes: 268_435_456,
  maxConnections: 4_096,
  maxStrangers: 256,
  maxCallsInFlight: 65_536,
  creditMessages: 64,
  creditBytes: 1_048_576,
  maxCachedNames: 10_000,
});

/** Descriptors that connections leave to everything else, at the least: files, listeners, the pipes of children. */
const otherDescriptors = 32;

/**
 * The limits with `maxConnections` and `maxStrangers` as far as `descriptors`, which the process may have open, allow. An eighth
 * of them, and 32 at the least, are for other things; of the rest a quarter at the most is for strangers.
 */
export function fitToDescriptors(limits: Limits, descriptors: number): Limits {
  const others = Math.max(otherDescriptors, Math.ceil(descriptors / 8));
  // very few, and it is half and half
  const available = Math.max(descriptors - others, Math.floor(descriptors / 2));
  const maxStrangers = Math.max(1, Math.min(limits.maxStrangers, Math.floor(available / 8)));
  const maxConnections = Math.max(1, Math.min(limits.maxConnections, available - 2 * maxStrangers));
  return Object.freeze({ ...limits, maxConnections, maxStrangers });
}

/**
 * The defaults with some of them changed.
 *
 * @throws {LimitError} when a name is no limit, or a value is no integer from 1 to 2^32 - 1 (times: 2^30 - 1)
 */
export function resolveLimits(changes: Partial<Limits> = {}): Limits {
  const limits: Record<string, number> = { ...defaultLimits };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(defaultLimits, name)) {
      throw new LimitError(`unknown limit "${name}"; known: ${Object.keys(defaultLimits).join(", ")}`);
    }
    // timers take 31 bits, and two limits are added here and there
    const most = name.endsWith("Ms") ? 0x3fff_ffff : 0xffff_ffff;
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new LimitError(`limit ${name} must be an integer from 1 to ${most}, got ${String(value)}`);
    }
    limits[name] = value;
  }
  return Object.freeze(limits) as unknown as Limits;
}
