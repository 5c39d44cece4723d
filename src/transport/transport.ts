/**
 * The contract of a transport: `listen`, `connect`, and the links that they make. No code here; `unix.ts` and `tcp.ts`
 * implement it, and `test/conformance/` tests both against it.
 */
import type { Deadline } from "../deadline.ts";
import type { ParsedAddress, ParsedTcpAddress, ParsedUnixAddress, Transport } from "./address.ts";
import type { LockHolder } from "./socket-lock.ts";

/** How a link ended: closed by this side, by the end of the peer's input, or by a failure. */
export type LinkEnd =
  | { readonly kind: "closed" }
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly error: Error };

/** Receives a link's input. Both methods are called from the event loop, never from within `write` or `close`. */
export interface LinkReader {
  /** Receives bytes in order. The chunk may be kept. */
  onData(chunk: Uint8Array): void;
  /** Called exactly once, after the last `onData`. */
  onEnd(end: LinkEnd): void;
}

/** The identity of a link's other end, as proved by the transport itself. */
export type LinkPeer =
  /** Vouched for by the kernel; `pid` is 0 if the process isn't visible in this one's pid namespace. */
  | { readonly kind: "unix"; readonly uid: number; readonly pid: number }
  /** From a certificate signed by our authority: `shop/web` for the URI `furrow:shop/web`. */
  | { readonly kind: "tls"; readonly subject: string };

/** A connected, ordered stream of bytes with a peer. */
export interface Link {
  /** Receives the input; set it in the turn that opens the link. */
  reader: LinkReader;
  /** The other end, for messages: a path, or host and port. */
  readonly remote: string;
  /** Undefined where the transport proves nothing: plain tcp, and unix sockets on a system that can't tell. */
  readonly peer: LinkPeer | undefined;
  /**
   * Returns the uid that owns the other end of a loopback tcp link; undefined for other links and where the system
   * can't tell. Asks the kernel on every call, which takes milliseconds.
   */
  loopbackUid(): number | undefined;
  /** Both ends of a tcp link, as a text that is the same on either side; "" for a unix one. */
  readonly ends: string;
  /** This end's address, for a tcp link; "" for a unix one. */
  readonly localHost: string;
  /** Whether silence can mean a dead peer: true only for a link that leaves this host. */
  readonly mayFallSilent: boolean;
  /** Bytes that the kernel hasn't accepted yet. */
  readonly pendingBytes: number;
  /** Bytes that it has accepted so far; still right after the end. */
  readonly writtenBytes: number;
  /** Bytes received so far. */
  readonly readBytes: number;
  /** Number of write calls to the kernel so far. */
  readonly writes: number;
  /**
   * Sends all of `bytes[start..end)` as soon as the kernel accepts them. Bytes that must wait are copied, unless
   * `stable` promises that they won't change. Does nothing after the link has ended, which `onEnd` reports.
   *
   * `more` announces that the next write follows in the same call stack: a link may wait for it, to send both with one system
   * call. Bytes that aren't `stable` have to stay as they are until the write without `more`.
   */
  write(bytes: Uint8Array, start: number, end: number, stable: boolean, more?: boolean): void;
  /** Resolves when nothing is pending, or the link has ended. */
  drained(): Promise<void>;
  /** Sends what is pending, then closes in order, without losing anything written. Bounded; idempotent. */
  close(): Promise<void>;
  /**
   * Ends at once; pending bytes may be lost. `onEnd` is called with `failed` and `error`, or with `closed` if there
   * is none.
   */
  abort(error?: Error): void;
  /** Stops reading, so that the kernel holds the peer back. */
  pause(): void;
  /** Reads on after `pause`. */
  resume(): void;
}

/** Whether an address is still served. here: as before. restored: again, after it was gone. lost: no longer. */
export type ListenerState = "here" | "restored" | "lost";

/** An open listener. */
export interface Listener {
  /** The bound address: a port of 0 has been replaced by the real one. */
  readonly address: ParsedAddress;
  /** Stops accepting and removes the socket file. Open links stay open. Idempotent. */
  close(): void;
  /**
   * Checks that the socket file and its lock are in place and restores them if not; tcp has none and is always
   * `here`.
   */
  restore(): Promise<ListenerState>;
}

export interface TransportDriver<A extends ParsedAddress = ParsedAddress> {
  readonly transport: Transport;
  /**
   * `holder`: written to the lock file next to the address, if the transport has one.
   *
   * @throws {AddressError} when the address is in use (cause: EADDRINUSE), not of this host, too long, not permitted
   */
  listen(address: A, onLink: (link: Link) => void, holder?: LockHolder): Promise<Listener>;
  /**
   * @throws {TransportClosedError} when it can't connect, say because nothing listens there; `cause` has the system's
   *   code
   * @throws {TimeoutError} with stage "dial" when `deadline` passes
   */
  connect(address: A, deadline: Deadline): Promise<Link>;
}

/** The driver of each transport. */
export interface Drivers {
  readonly unix: TransportDriver<ParsedUnixAddress>;
  readonly tcp: TransportDriver<ParsedTcpAddress>;
}
