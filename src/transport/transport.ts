/**
 * What a transport is: two functions, and the links that they make. No code, only the contract; `unix.ts` and `tcp.ts`
 * keep it, and `test/conformance/` holds both to it.
 */
import type { Deadline } from "../deadline.ts";
import type { ParsedAddress, ParsedTcpAddress, ParsedUnixAddress, Transport } from "./address.ts";
import type { LockHolder } from "./socket-lock.ts";

/** How a link ended: by this side, by an end of the peer's bytes, or by a failure. */
export type LinkEnd =
  | { readonly kind: "closed" }
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly error: Error };

/** Who hears of a link's input. Both are called from the event loop, never from within `write` or `close`. */
export interface LinkReader {
  /** Received bytes, in order. The chunk may be kept. */
  onData(chunk: Uint8Array): void;
  /** Called exactly once, after the last `onData`. */
  onEnd(end: LinkEnd): void;
}

/** Who the transport itself proves to be at the other end of a link. */
export type LinkPeer =
  /** The kernel's word; `pid` is 0 for a process that this one's pid namespace does not show. */
  | { readonly kind: "unix"; readonly uid: number; readonly pid: number }
  /** What a certificate says that our authority has signed: `shop/web` for the URI `furrow:shop/web`. */
  | { readonly kind: "tls"; readonly subject: string };

/** A connected, ordered stream of bytes with a peer. */
export interface Link {
  /** Who hears of the input; set it before the turn that opened the link is over. */
  reader: LinkReader;
  /** The other end, for messages: a path, or host and port. */
  readonly remote: string;
  /** Undefined where the transport proves nothing: plain tcp, and unix sockets on a system that doesn't tell. */
  readonly peer: LinkPeer | undefined;
  /**
   * The user whose process is at the other end of a loopback tcp link; undefined where the system doesn't tell. Asks the
   * kernel each time, which takes milliseconds.
   */
  loopbackUid(): number | undefined;
  /** Both ends of a tcp link, in a text that is the same at either; "" for a unix one. */
  readonly ends: string;
  /** The address of this end, for a tcp link; "" for a unix one. */
  readonly localHost: string;
  /** Whether silence can mean a dead peer: only a link that leaves this host. */
  readonly mayFallSilent: boolean;
  /** Bytes that the kernel has not taken yet. */
  readonly pendingBytes: number;
  /** Calls of the kernel's write so far. */
  readonly writes: number;
  /**
   * Sends `bytes[start..end)`, all of them, as soon as the kernel takes them. Bytes that must wait are copied, unless
   * `stable` says that they will not change. After the link ended it does nothing; `onEnd` has told.
   */
  write(bytes: Uint8Array, start: number, end: number, stable: boolean): void;
  /** Resolves when nothing is pending, or the link has ended. */
  drained(): Promise<void>;
  /** Sends what is pending, then ends in order: nothing that was written is lost. Bounded; idempotent. */
  close(): Promise<void>;
  /** Ends at once; what is pending may be lost. `onEnd` tells with `error`, or as closed. */
  abort(error?: Error): void;
  /** Stops reading, so that the kernel holds the peer back; and goes on. */
  pause(): void;
  resume(): void;
}

/** Whether an address is still served: as before; again, after it was gone; or no more, since another has its place. */
export type ListenerState = "here" | "restored" | "lost";

/** An address on which links arrive. */
export interface Listener {
  /** What is bound: a port of 0 has become a real one. */
  readonly address: ParsedAddress;
  /** Stops accepting and removes the socket file. Links that are open stay open. Idempotent. */
  close(): void;
  /** Looks whether what makes the address known (a socket file) is still there, and makes it again where it is not. */
  restore(): Promise<ListenerState>;
}

export interface TransportDriver<A extends ParsedAddress = ParsedAddress> {
  readonly transport: Transport;
  /**
   * `holder`: what a lock file beside the address says, where there is one.
   *
   * @throws {AddressError} when the address is in use (cause: EADDRINUSE), not of this host, too long, not permitted
   */
  listen(address: A, onLink: (link: Link) => void, holder?: LockHolder): Promise<Listener>;
  /**
   * @throws {TransportClosedError} when nobody listens there; `cause` has the system's code
   * @throws {TimeoutError} with stage "dial" when `deadline` passes
   */
  connect(address: A, deadline: Deadline): Promise<Link>;
}

/** The driver of each transport: how links are made. */
export interface Drivers {
  readonly unix: TransportDriver<ParsedUnixAddress>;
  readonly tcp: TransportDriver<ParsedTcpAddress>;
}
