import { LimitError } from "./errors.ts";

/** All limits of the runtime. Times are in milliseconds, sizes in bytes; children inherit them. */
export interface Limits {
  /**
   * Maximum time from an open connection to a finished handshake, and from one part of a frame to the next. Stops peers
   * that connect and send nothing, or stop in the middle of a frame.
   */
  readonly handshakeTimeoutMs: number;
  /** Maximum time from the start of a dial to an open connection, for each address. */
  readonly dialTimeoutMs: number;
  /** Maximum time for one probe of a registry address; a silent address is probed three times. */
  readonly probeTimeoutMs: number;
  /** How long a child may take to end after the cancel message, before SIGTERM. */
  readonly stopGraceMs: number;
  /** How long a child may take to end after SIGTERM, before SIGKILL. */
  readonly stopTermMs: number;
  /**
   * The largest frame to accept or send; control messages and errors may always have 64 KiB. Stops a peer from making
   * this process allocate without bound.
   */
  readonly maxFrameBytes: number;
  /**
   * The most values in one frame, sent or received, counting elements, keys and the containers that hold them. Small
   * values take far more memory than bytes on the wire, so a decoded frame may take at most 10 times its size plus 8
   * bytes for each value that this limit allows. Stops a frame of empty maps from blocking the event loop and filling
   * memory.
   */
  readonly maxFrameValues: number;
  /**
   * Unsent bytes that may queue for one connection while its peer isn't reading. Control messages and errors get a
   * quarter more; when that fills up too, the connection is closed. Stops a slow peer from filling memory with its
   * replies.
   */
  readonly maxPendingSendBytes: number;
  /**
   * Bytes that all connections together may buffer: unsent data, unfinished frames, and messages that streams and
   * dialogs haven't read (counted by their size in memory, not on the wire). Beyond it, the connection that buffers the
   * most is closed first. Stops peers that request a lot and read nothing, or that send half frames.
   */
  readonly maxBufferedBytes: number;
  /**
   * Connections to peers, lowered if necessary to fit the process's limit on open files. At the limit, the certificate
   * with the most connections makes room for this user and for certificates with fewer. Stops a flood of connections
   * from using up all file descriptors.
   */
  readonly maxConnections: number;
  /**
   * Connections per transport that haven't authenticated yet. They don't count towards `maxConnections`; one more
   * closes the oldest. Stops clients that connect and send nothing.
   */
  readonly maxStrangers: number;
  /**
   * Calls that one peer may have in flight in this actor. So many calls of all peers may wait for their turn, where
   * `concurrency` limits how many run.
   */
  readonly maxCallsInFlight: number;
  /** Messages that a stream or dialog may have in flight in each direction. */
  readonly creditMessages: number;
  /** Bytes that a stream or dialog may have in flight in each direction. */
  readonly creditBytes: number;
  /** Names that the lookup cache keeps current. */
  readonly maxCachedNames: number;
  /** The encoded metadata of one actor. Stops a peer from filling the registrar's memory, and everyone's lookups. */
  readonly maxMetadataBytes: number;
  /**
   * Memory of shared buffers: of those that this actor makes, and of those of each peer that are mapped here. Each counts as
   * 64 KiB at least. Stops a peer from using up this process's address space and descriptors.
   */
  readonly maxSharedBytes: number;
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
  maxMetadataBytes: 4_096,
  maxSharedBytes: 268_435_456,
});

/** The least number of descriptors reserved for everything but connections: files, listeners, pipes of children. */
const otherDescriptors = 32;

/**
 * The limits with `maxConnections` and `maxStrangers` lowered to fit `descriptors`, the number that the process may
 * have open. An eighth of them, at least 32, is reserved for other uses; strangers get at most a quarter of the rest,
 * over both transports.
 */
export function fitToDescriptors(limits: Limits, descriptors: number): Limits {
  const others = Math.max(otherDescriptors, Math.ceil(descriptors / 8));
  // with very few descriptors, split them in half
  const available = Math.max(descriptors - others, Math.floor(descriptors / 2));
  const maxStrangers = Math.max(1, Math.min(limits.maxStrangers, Math.floor(available / 8)));
  const maxConnections = Math.max(1, Math.min(limits.maxConnections, available - 2 * maxStrangers));
  return Object.freeze({ ...limits, maxConnections, maxStrangers });
}

/**
 * Merges `changes` into the default limits.
 *
 * @throws {LimitError} when a name isn't a limit, or a value isn't an integer from 1 to 2^32 - 1 (times: 2^30 - 1)
 */
export function resolveLimits(changes: Partial<Limits> = {}): Limits {
  const limits: Record<string, number> = { ...defaultLimits };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(defaultLimits, name)) {
      throw new LimitError(`unknown limit "${name}"; known: ${Object.keys(defaultLimits).join(", ")}`);
    }
    // timers take 31 bits, and some code adds two limits
    const most = name.endsWith("Ms") ? 0x3fff_ffff : 0xffff_ffff;
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new LimitError(`limit ${name} must be an integer from 1 to ${most}, got ${String(value)}`);
    }
    limits[name] = value;
  }
  return Object.freeze(limits) as unknown as Limits;
}
