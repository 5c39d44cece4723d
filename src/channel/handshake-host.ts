/** What `dialler.ts` and `acceptor.ts` need from their actor and from each other. */
import type { Limits } from "../limits.ts";
import type { Drivers } from "../transport/transport.ts";
import type { Buffered } from "./buffered.ts";
import type { Channel } from "./channel.ts";
import type { Credentials } from "./credentials.ts";
import type { Hello } from "./handshake.ts";
import type { Peer, PeerHandler, PeerOrigin } from "./peer.ts";
import type { PeerIndex } from "./peer-index.ts";

export interface HandshakeHost<H extends PeerHandler> {
  readonly limits: Limits;
  readonly buffered: Buffered;
  /** Lower bound on the timeout of each step of a dial, in ms. */
  readonly leastStepMs: number;
  readonly index: PeerIndex<H>;
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  readonly isClosed: boolean;
  /** This actor's hello, as of now. */
  self(): Omit<Hello, "target">;
  /** Whether an outbound dial to `uuid` is in its handshake. */
  isGreeting(uuid: string): boolean;
  /** Whether an inbound dial from `uuid` is about to become a connection. */
  isAccepting(uuid: string): boolean;
  /** Turns a channel whose handshake is done into a peer. */
  establish(hello: Hello, channel: Channel, origin: PeerOrigin): Peer<H>;
}
