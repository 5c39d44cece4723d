/**
 * The live connections of this actor, by uuid and by name: one per peer.
 *
 * A peer can end up with two connections, when both sides dialled at once or because a second one was asked for. One
 * of them represents the peer; the other closes once it is unused. Uuids aren't secret: a connection known to be the
 * actor's never yields to one that merely claims its uuid.
 */
import { LimitError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { isSameUser, ownerOf, outranks, type PeerProof } from "./credentials.ts";
import type { DialTarget, Peer, PeerHandler } from "./peer.ts";

const log = logger("channel");

export class PeerIndex<H extends PeerHandler> {
  readonly #ownUuid: () => string;
  readonly #byUuid = new Map<string, Peer<H>>();
  readonly #byName = new Map<string, Peer<H>[]>();
  /** Additional connections to peers that have another one, kept until they are unused. */
  readonly #surplus = new Set<Peer<H>>();

  constructor(ownUuid: () => string) {
    this.#ownUuid = ownUuid;
  }

  get size(): number {
    return this.#byUuid.size;
  }

  /** The number of connections, including surplus ones. */
  get connections(): number {
    return this.#byUuid.size + this.#surplus.size;
  }

  get(uuid: string): Peer<H> | undefined {
    return this.#byUuid.get(uuid);
  }

  byName(name: string): readonly Peer<H>[] | undefined {
    return this.#byName.get(name);
  }

  values(): IterableIterator<Peer<H>> {
    return this.#byUuid.values();
  }

  all(): Peer<H>[] {
    return [...this.#byUuid.values(), ...this.#surplus];
  }

  /** An open connection to the target itself, not to a peer that merely claims its uuid. */
  to(target: DialTarget): Peer<H> | undefined {
    const live = this.#byUuid.get(target.uuid);
    if (live !== undefined && live.isOpen && live.isHeldBy(target)) return live;
    if (this.#surplus.size === 0) return undefined;
    return this.#surplus
      .values()
      .find((peer) => peer.id.uuid === target.uuid && peer.isOpen && peer.isHeldBy(target));
  }

  /**
   * Adds a connection whose handshake is done and returns the one to use: the connection that represents the peer
   * from now on, or `peer` itself if that one merely claims the uuid or can't do what `peer` was dialled for.
   */
  enter(peer: Peer<H>): Peer<H> {
    const { uuid } = peer.id;
    const how = peer.dialledHere ? "dialled" : "accepted";
    log.debug?.(`${how} ${describeActor(peer.id)} on ${peer.channel.link.remote}`);
    const other = this.#byUuid.get(uuid);
    if (other === undefined) {
      this.#put(peer);
      return peer;
    }
    const [kept, surplus] = this.#isBetter(peer, other) ? [peer, other] : [other, peer];
    log.debug?.(`${describeActor(peer.id)}: a second connection, keeping ${kept.channel.link.remote}`);
    if (kept === peer) {
      this.#takeOut(other);
      this.#put(peer);
    }
    this.#surplus.add(surplus);
    surplus.retire();
    return peer.isFurther || (peer.isKnown && !kept.isKnown) ? peer : kept;
  }

  /** Called synchronously when the peer ends, so that no later lookup returns it. */
  forget(peer: Peer<H>): void {
    this.#surplus.delete(peer);
    if (this.#byUuid.get(peer.id.uuid) !== peer) return;
    this.#takeOut(peer);
    if (this.#surplus.size === 0) return;
    // the peer may rely on its other connection: it may have closed this one before it opened that
    const next = this.#surplus.values().find((one) => one.id.uuid === peer.id.uuid && one.isOpen);
    if (next === undefined) return;
    this.#surplus.delete(next);
    this.#put(next);
  }

  /**
   * Evicts a connection in favour of a new one with this `proof`: the newest of the certificate that holds the most,
   * if the new one is of this user or of a certificate that holds at least two fewer. Returns whether it evicted one.
   */
  makeRoom(proof: PeerProof): boolean {
    const bySubject = new Map<string, Peer<H>[]>();
    for (const peer of this.all()) {
      if (peer.proof.auth !== "tls" || !peer.isOpen) continue;
      const { subject } = peer.proof;
      const held = bySubject.get(subject);
      if (held === undefined) bySubject.set(subject, [peer]);
      else held.push(peer);
    }
    let most: Peer<H>[] = [];
    for (const held of bySubject.values()) if (held.length > most.length) most = held;
    const newest = most.at(-1);
    if (newest === undefined) return false;
    const own = proof.auth === "tls" ? (bySubject.get(proof.subject)?.length ?? 0) : 0;
    if (proof.auth === "tls" ? most.length < own + 2 : !isSameUser(proof)) return false;
    const text = `maxConnections reached: closing ${describeActor(newest.id)}, one of ${most.length} connections of its certificate`;
    newest.channel.abort(new LimitError(text));
    return true;
  }

  /**
   * Whether both sides keep `peer` rather than `other`, two connections to one uuid. A peer of this user wins over
   * any other, then the actor itself over one that merely claims its uuid, then the connection that the smaller uuid
   * dialled.
   */
  #isBetter(peer: Peer<H>, other: Peer<H>): boolean {
    if (outranks(other.proof, peer.proof)) return false;
    if (outranks(peer.proof, other.proof)) return true;
    const isOtherOwner = ownerOf(peer.proof) !== ownerOf(other.proof);
    const isOtherProcess = peer.id.pid !== other.id.pid || peer.id.host !== other.id.host || isOtherOwner;
    if (isOtherProcess && peer.isKnown !== other.isKnown) return peer.isKnown;
    if (isOtherOwner) return false;
    if (peer.isFurther) return false;
    const smallerDialled = peer.dialledHere === this.#ownUuid() < peer.id.uuid;
    // if one side dialled both, the older one is already closed at one end: keep the newer
    return peer.dialledHere === other.dialledHere || smallerDialled;
  }

  #put(peer: Peer<H>): void {
    const { uuid, name } = peer.id;
    this.#byUuid.set(uuid, peer);
    const named = this.#byName.get(name);
    if (named === undefined) this.#byName.set(name, [peer]);
    else named.push(peer);
  }

  #takeOut(peer: Peer<H>): void {
    const { uuid, name } = peer.id;
    this.#byUuid.delete(uuid);
    const named = this.#byName.get(name)!;
    if (named.length === 1) this.#byName.delete(name);
    else named.splice(named.indexOf(peer), 1);
  }
}
