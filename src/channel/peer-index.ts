/**
 * The live connections of this actor, by uuid and by name: one for each peer.
 *
 * Two connections to one peer may come to be, when both dialled without knowing of each other, or because a second one
 * was asked for. One of them stands for the peer; the other closes once it isn't used. A uuid is a public word: a
 * connection that is known to be the actor's never gives way to one that only claims its uuid.
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
  /** Connections to peers that have another one, until nobody uses them. */
  readonly #surplus = new Set<Peer<H>>();

  constructor(ownUuid: () => string) {
    this.#ownUuid = ownUuid;
  }

  get size(): number {
    return this.#byUuid.size;
  }

  /** Connections, surplus ones too. */
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

  /** The connection to the actor that is meant: usable, and not one that only claims its uuid. */
  to(target: DialTarget): Peer<H> | undefined {
    const live = this.#byUuid.get(target.uuid);
    if (live !== undefined && live.isOpen && live.isHeldBy(target)) return live;
    if (this.#surplus.size === 0) return undefined;
    return this.#surplus
      .values()
      .find((peer) => peer.id.uuid === target.uuid && peer.isOpen && peer.isHeldBy(target));
  }

  /**
   * Takes in a connection whose handshake is done; returns the one to use: that which stands for its peer from now on, or
   * itself where that one only claims the uuid, or can't do what this one was dialled for.
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

  /** Called from the peer's end, so that no lookup sees it after that moment. */
  forget(peer: Peer<H>): void {
    this.#surplus.delete(peer);
    if (this.#byUuid.get(peer.id.uuid) !== peer) return;
    this.#takeOut(peer);
    // the peer may count on the other one: it had closed this one already when it took that
    const next = this.#surplus.values().find((one) => one.id.uuid === peer.id.uuid && one.isOpen);
    if (next === undefined) return;
    this.#surplus.delete(next);
    this.#put(next);
  }

  /**
   * Ends a connection in favour of a new one with this `proof`: that of the certificate which has the most of them, if the
   * new one is of this user, or of a certificate with two fewer. Returns whether there was such a one.
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
    const text = `${describeActor(newest.id)} has one of ${most.length} connections by its certificate, and all places are taken: maxConnections`;
    newest.channel.abort(new LimitError(text));
    return true;
  }

  /**
   * Which of two connections to one uuid both sides keep: that of a peer of this user, before others; that of the actor
   * itself, before one that only claims its uuid; then the one that the smaller uuid dialled.
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
    // of two that were dialled by the same side, the other side has closed the former
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
