/** What the two sides of a handshake, `dialler.ts` and `acceptor.ts`, need of their actor, and of each other. */
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
  /** No step of a dial is bounded by less, in ms. */
  readonly leastStepMs: number;
  readonly index: PeerIndex<H>;
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  readonly isClosed: boolean;
  /** What this actor says of itself at this moment. */
  self(): Omit<Hello, "target">;
  /** Whether a dial of `uuid` from here is in its handshake. */
  isGreeting(uuid: string): boolean;
  /** Whether a dial by `uuid` to here is about to become a connection. */
  isAccepting(uuid: string): boolean;
  /** Makes a peer of a channel whose handshake is done. */
  establish(hello: Hello, channel: Channel, origin: PeerOrigin): Peer<H>;
}
