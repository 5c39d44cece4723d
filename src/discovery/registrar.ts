/**
 * Serves the table to peers.
 *
 * A registration is a lease held by a connection: it goes the moment its connection ends. A peer that looks a name up can
 * take an interest in it; each change of that name is then pushed to it, before the change is acknowledged (`outgoing.ts`).
 */
import { isSameUser, type PeerProof } from "../channel/credentials.ts";
import {
  ActorNameError,
  ActorNotFoundError,
  LimitError,
  type NameTakenError,
  PermissionDeniedError,
  RegistryUnavailableError,
} from "../errors.ts";
import type { Details } from "../actor/details.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { RegistrarStats } from "../actor/actor.ts";
import type { Runtime } from "../actor/runtime.ts";
import { allPermissions } from "../rpc/policy.ts";
import { LongList } from "../rpc/long-list.ts";
import type { Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { ClaimMode, Kind, type Message, type MessageOf } from "../wire/messages.ts";
import { checkDetailsLimits, decodeDetails, decodeMetadata, decodeState } from "./details.ts";
import type { ClaimDesk } from "./claim-desk.ts";
import type { ClusterClaims } from "./cluster-claims.ts";
import { GracePeriod } from "./grace-period.ts";
import { Interests } from "./interests.ts";
import { NameRecord, Names } from "./names.ts";
import { Outgoing } from "./outgoing.ts";
import { registrarApi, type ServedTable } from "./registrar-api.ts";
import { decodeAddresses, encodeAddresses, encodeDetailed, encodeRegistration } from "./registration.ts";
import type { OtherMembers, Roster } from "./roster.ts";
import { SocketSweeper } from "./socket-sweeper.ts";
import type { Staleness } from "./staleness.ts";
import {
  isDraining,
  MirroredRegistration,
  type RemoteActor,
  type StoredRegistration,
} from "./stored-registration.ts";
import { RegistryTable } from "./table.ts";
import type { WatchService } from "./watch-service.ts";

const log = logger("discovery");

/** A lookup of a name with more instances is answered in parts. */
const mostInOneAnswer = 64;

const sameUser: PeerProof = { auth: "same-user" };

/** The requests that are answered from the table, or change it. */
const asked = [Kind.register, Kind.unregister, Kind.update, Kind.lookup, Kind.watch, Kind.claim] as const;

type Asked = (typeof asked)[number];

/** What the registrar keeps for each connection that registers. */
interface Client {
  current: StoredRegistration | undefined;
  /** The one it gave back itself: its process may still be killed before it has removed its socket file. */
  former: StoredRegistration | undefined;
}

/** What shares the table with the registrars of other hosts: `cluster.ts`. It hears of each change of what is registered here. */
export interface SharedTable {
  /** The registration of an actor that is known from another host; the one here takes over from it. */
  yield(uuid: string): MirroredRegistration | undefined;
  put(stored: StoredRegistration): void;
  /** Returns true if the actor stays in the table, since another host has it, too. */
  remove(stored: StoredRegistration): boolean;
  /** A peer asks for something. */
  onQuestion(session: Session): void;
  /** Undefined while what is known of other hosts is complete. */
  readonly staleness: Staleness | undefined;
  /** Resolves when that is so for the first time, or has taken too long. */
  readonly arrived: Promise<void>;
  readonly stats: { readonly mirrored: number; readonly hosts: number; readonly stale: boolean };
  /** Which host has which name. */
  readonly claims: ClusterClaims;
}

export class RegistrarService implements ServedTable {
  readonly #names = new Names();
  readonly table: RegistryTable = new RegistryTable(this.#names);
  #shared: SharedTable | undefined;
  readonly #runtime: Runtime;
  readonly #clients = new Map<Session, Client>();
  readonly #interests: Interests<Session, Message>;
  readonly #outgoing = new Outgoing();
  /** Made for the first watch. */
  #watching: WatchService | undefined;
  /** How each registered actor proved its identity, unless the kernel says that it runs as this user. */
  readonly #proofs = new WeakMap<StoredRegistration, PeerProof>();
  #own: StoredRegistration | undefined;
  #requests = 0;
  #pushes = 0;
  readonly #gracePeriod = new GracePeriod();
  readonly #sweeper: SocketSweeper;
  #isStopped = false;
  #desk: ClaimDesk | undefined;
  readonly #undo: (() => void)[];

  /** Begins to serve. Misses are held back at least until `opened`. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#sweeper = new SocketSweeper(runtime);
    this.#interests = new Interests(this.#names, runtime.limits.maxCachedNames * 2, (session, change) => {
      session.peer.channel.post(change);
      this.#onPush(session);
    });
    this.#serve(Kind.register, (session, message) => this.#onRegister(session, message));
    this.#serve(Kind.unregister, (session, message) => this.#onUnregister(session, message[1]));
    this.#serve(Kind.update, (session, message) => this.#onUpdate(session, message));
    this.#serve(Kind.lookup, (session, message) => this.#onLookup(session, message));
    runtime.serve(Kind.forget, (session, message) => this.#interests.drop(session, message[1]));
    runtime.serve(Kind.report, (session, message) => this.#onReport(session, message[1]));
    this.#serve(Kind.watch, (session, message) => {
      this.#shared?.onQuestion(session);
      this.watching.onWatch(session, message);
    });
    runtime.serve(Kind.unwatch, (session, message) => this.#watching?.onUnwatch(session, message[1]));
    this.#serve(Kind.claim, (session, message) => this.#onClaim(session, message));
    runtime.serve(Kind.unclaim, ({ peer }, [, name, key]) =>
      this.#atDesk((desk) => desk.withdraw(peer, name, key)),
    );
    runtime.dispatcher.serve("registrar", registrarApi(this));
    this.#undo = [
      runtime.watchSessions((session) => this.#onSessionEnd(session)),
      runtime.ending.at("rest", async () => {
        this.#gracePeriod.abandon();
        this.#outgoing.finish();
      }),
    ];
  }

  /** Serves requests of a kind: at once, unless something has yet to be pushed. */
  #serve<K extends Asked>(kind: K, serve: (session: Session, message: MessageOf<K>) => void): void {
    const serveLate = (session: Session, message: MessageOf<K>): void => {
      if (this.#isStopped) session.replyError(message[1], retiredError());
      else serve(session, message);
    };
    this.#runtime.serve(kind, (session, message) => {
      if (this.#outgoing.isIdle) serve(session, message);
      else this.#outgoing.take(session, message, serveLate);
    });
  }

  /**
   * Starts the bounds of the grace period, now that all registry addresses are bound. `mayHaveMore`: another registrar
   * served before, and may have had actors that this host doesn't know.
   */
  opened(roster: Roster, others: OtherMembers, mayHaveMore: boolean): void {
    const { host } = this.#runtime.id;
    const missing = others.kind === "pids" ? new Set(others.pids) : undefined;
    for (const stored of this.table.entries())
      if (stored.host === host && isSameUser(this.#proofs.get(stored) ?? sameUser))
        missing?.delete(stored.pid);
    const expected: OtherMembers =
      missing === undefined
        ? others
        : missing.size > 0
          ? { kind: "pids", pids: missing, areAll: true }
          : { kind: "none" };
    const areAll = others.kind !== "pids" || others.areAll;
    this.#gracePeriod.expect(expected, mayHaveMore || !areAll, () => roster.pids());
  }

  /** Shares the table with other hosts from now on. A miss isn't reliable before what they publish has arrived. */
  share(shared: SharedTable): void {
    this.#shared = shared;
    this.#gracePeriod.hold(shared.arrived);
    this.#desk?.share(shared.claims);
    // some were faster than this actor's last address
    for (const stored of this.table.entries()) shared.put(stored);
  }

  /** Since when what is known of other hosts may be behind; undefined if it isn't, or there are none. */
  get staleness(): Staleness | undefined {
    return this.#shared?.staleness;
  }

  /** Whether an actor is known from another host. */
  isMirrored(name: string, uuid: string): boolean {
    return this.table
      .all(name)
      .some((stored) => stored.uuid === uuid && stored instanceof MirroredRegistration);
  }

  /** Stops serving, and notifies the peers; those that use this registrar then look for the next. */
  stop(): void {
    for (const undo of this.#undo) undo();
    this.#isStopped = true;
    this.#outgoing.finish();
    const gone = (session: Session, id: number): void => session.replyError(id, retiredError());
    const runtime = this.#runtime;
    // answers what clients sent before they were notified
    for (const kind of asked) runtime.serve(kind, (session, message) => gone(session, message[1]));
    for (const kind of [Kind.forget, Kind.report, Kind.unwatch, Kind.unclaim]) runtime.serve(kind, () => {});
    runtime.dispatcher.unserve("registrar");
    this.#desk?.stop(retiredError());
    this.#gracePeriod.abandon();
    this.#interests.wakeAll();
    this.#watching?.stop();
    const watching = this.#watching?.peers ?? [];
    // all peers: a client that hasn't asked for anything yet would ask here
    const peers = Array.from(runtime.peers, (peer) => peer.handler);
    const users = new Set([...this.#clients.keys(), ...this.#interests.peers, ...watching, ...peers]);
    for (const session of users) session.peer.channel.post([Kind.retired]);
  }

  /** Resolves when the socket files of killed actors have been removed; within a second. */
  async swept(): Promise<void> {
    await this.#sweeper.swept();
  }

  /**
   * Registers the registrar itself, or its new addresses.
   *
   * @throws {LimitError} when its details are too large
   */
  registerSelf(): void {
    const { id, addrs, limits } = this.#runtime;
    const details = this.#runtime.details();
    checkDetailsLimits(details, limits.maxMetadataBytes);
    const former = this.#own;
    this.#own = this.table.register(id, encodeAddresses(addrs, id.host), former, details);
    this.#announce(this.#own, former);
  }

  /** Whether the registrar is in its own table. */
  get hasSelf(): boolean {
    return this.#own !== undefined;
  }

  /** Applies what has changed of the registrar's own details; resolves when it has been pushed, undefined if it has. */
  updateSelf(): Promise<void> | undefined {
    if (this.#own !== undefined) this.#own = this.#change(this.#own, this.#runtime.details());
    return this.#outgoing.pushed;
  }

  /** As `updateSelf`: takes the registrar itself out of the table. */
  unregisterSelf(): Promise<void> | undefined {
    if (this.#own !== undefined) this.#remove(this.#own);
    this.#own = undefined;
    return this.#outgoing.pushed;
  }

  /** Resolves when nothing is left to push, and nothing waits for that; undefined when that is so. */
  get idle(): Promise<void> | undefined {
    return this.#outgoing.idle;
  }

  stats(): RegistrarStats {
    const { size: actors, names, revision } = this.table;
    return {
      actors,
      names,
      requests: this.#requests,
      pushes: this.#pushes,
      revision,
      ...this.#shared?.stats,
    };
  }

  /**
   * Undefined when the table's answer for the name is reliable. Else resolves when it is: the name is there, or the grace
   * period is over. Without a name: for all names.
   */
  awaited(name?: string): Promise<void> | undefined {
    if (this.#gracePeriod.isOver) return undefined;
    if (name === undefined) return this.#gracePeriod.over;
    if (this.table.last(name) !== undefined) return undefined;
    const changed = Promise.withResolvers<void>();
    const unwatch = this.watch(name, changed.resolve);
    return Promise.race([this.#gracePeriod.over, changed.promise]).finally(unwatch);
  }

  /** Calls `onChange` once, at the next change of the name; returns the function that calls it off. */
  watch(name: string, onChange: () => void): () => void {
    return this.#interests.watch(name, onChange);
  }

  interestedIn(name: string): number {
    const watching = new Set<object>();
    this.#watching?.visitHolders(name, (holder) => {
      if (!this.#interests.has(holder as Session, name)) watching.add(holder);
    });
    return this.#interests.count(name) + watching.size;
  }

  /** The watches of any number of names. */
  get watching(): WatchService {
    if (this.#watching === undefined) {
      const { WatchService: Service } = require("./watch-service.ts") as typeof import("./watch-service.ts");
      const onPush = (session: Session): void => this.#onPush(session);
      this.#watching = new Service(this.#runtime, this, this.#outgoing, onPush);
    }
    return this.#watching;
  }

  /** @throws {RegistryUnavailableError} when this actor has stopped being the registrar */
  checkServing(): void {
    if (this.#isStopped) throw retiredError();
  }

  /** Who may start an actor of a name. Most registrars are never asked, and start sooner without its files. */
  get claims(): ClaimDesk {
    if (this.#desk === undefined) {
      const { ClaimDesk: Desk } = require("./claim-desk.ts") as typeof import("./claim-desk.ts");
      const settled = (): Promise<void> | undefined =>
        this.#gracePeriod.isOver ? undefined : this.#gracePeriod.over;
      this.#desk = new Desk({ table: this.table, settled }, this.#runtime.limits.maxCachedNames);
      if (this.#shared !== undefined) this.#desk.share(this.#shared.claims);
    }
    return this.#desk;
  }

  /** Why no further actor of this user may register under the name. */
  refusalOf(name: string): NameTakenError | undefined {
    return this.#deskOf(name)?.refusalOf(name, true);
  }

  /** Another host has claimed a name, or given it back. */
  onElsewhere(name: string): void {
    this.#desk?.onElsewhere(name);
  }

  /** The desk, if anything of the name has been claimed. */
  #deskOf(name: string): ClaimDesk | undefined {
    return this.#desk ?? (this.#shared?.claims.elsewhere(name) === undefined ? undefined : this.claims);
  }

  /** What follows from a change for claims comes after that. */
  #atDesk(work: (desk: ClaimDesk) => void): void {
    const desk = this.#desk;
    if (desk !== undefined) this.#outgoing.after(() => work(desk));
  }

  #onClaim(session: Session, message: MessageOf<typeof Kind.claim>): void {
    // every start asks: where nothing has been claimed, that needs no desk
    const isFree = message[5] === ClaimMode.ask && this.#deskOf(message[2]) === undefined;
    if (isFree) session.reply(message[1], null);
    else this.claims.onClaim(session, message);
  }

  #client(session: Session): Client {
    let client = this.#clients.get(session);
    if (client === undefined)
      this.#clients.set(session, (client = { current: undefined, former: undefined }));
    return client;
  }

  #onRegister(session: Session, message: MessageOf<typeof Kind.register>): void {
    const isNew = this.#clients.get(session)?.current === undefined;
    const denied =
      this.#denial(session) ??
      (isNew ? this.#deskOf(session.peer.id.name)?.refusal(session.peer) : undefined);
    if (denied !== undefined) {
      log.warn?.(`${describeActor(session.peer.id)}: ${denied.message}`);
      session.replyError(message[1], denied);
      return;
    }
    const client = this.#client(session);
    // a peer registers under the id of its handshake, so no other peer can change its registration
    const { id } = session.peer;
    let addrs: Address[];
    let details: Details;
    try {
      addrs = decodeAddresses(message[2], id.host);
      details = decodeDetails(message[3]);
      checkDetailsLimits(details, this.#runtime.limits.maxMetadataBytes);
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      session.replyError(message[1], error);
      return;
    }
    const former = client.current ?? this.#shared?.yield(id.uuid);
    client.current = this.table.register(id, addrs, former, details);
    session.peer.isVouched = !isDraining(client.current);
    const { proof } = session.peer;
    if (proof.auth !== "same-user") this.#proofs.set(client.current, proof);
    // a peer of another owner may claim the pid of an actor that is still on its way back
    if (!this.#gracePeriod.isOver && isSameUser(proof)) this.#noteReturn(session);
    log.info?.(`registered ${describeActor(id)} at ${addrs.join(" ")}`);
    this.#announce(client.current, former);
    this.#acknowledge(session, message[1], client.current.revision);
  }

  /** Acknowledges a change when it has been pushed. */
  #acknowledge(session: Session, id: number, revision: number): void {
    this.#outgoing.after(() => session.reply(id, revision));
  }

  #onPush({ peer: { channel } }: Session): void {
    this.#pushes++;
    if (this.#outgoing.isSpread) channel.flush();
  }

  #onUpdate(session: Session, [, id, metadata, state]: MessageOf<typeof Kind.update>): void {
    const client = this.#clients.get(session);
    const current = client?.current;
    if (client === undefined || current === undefined) {
      const text = `${describeActor(session.peer.id)} is not registered: it has nothing to update`;
      session.replyError(id, new ActorNotFoundError(text));
      return;
    }
    if (!isGiven(metadata) && !isGiven(state)) {
      session.reply(id, current.revision);
      return;
    }
    const details = {
      ...current.details,
      ...(isGiven(metadata) && { metadata: decodeMetadata(metadata) }),
      ...(isGiven(state) && { state: decodeState(state) }),
    };
    try {
      checkDetailsLimits(details, this.#runtime.limits.maxMetadataBytes);
    } catch (error) {
      session.replyError(id, error);
      return;
    }
    client.current = this.#change(current, details);
    session.peer.isVouched = !isDraining(client.current);
    this.#acknowledge(session, id, client.current.revision);
  }

  /** Changes the details of a registration, and pushes the change. */
  #change(current: StoredRegistration, details: Details): StoredRegistration {
    const next = this.table.update(current, details);
    const proof = this.#proofs.get(current);
    if (proof !== undefined) this.#proofs.set(next, proof);
    this.#announce(next, current, true);
    return next;
  }

  /** By the kernel's pid if it gives one, as the roster has it: a peer in another pid namespace claims a different one. */
  #noteReturn({ peer: { channel, id } }: Session): void {
    const { peer } = channel.link;
    if (peer?.kind === "unix" && peer.pid > 0) this.#gracePeriod.onRegistered(peer.pid);
    else if (id.host === this.#runtime.id.host) this.#gracePeriod.onRegistered(id.pid);
  }

  /** Why the peer may not register, or undefined when it may. */
  #denial(session: Session): PermissionDeniedError | undefined {
    const { id } = session.peer;
    const holder = this.#runtime.peers.get(id.uuid)?.handler;
    if (holder !== undefined && holder !== session && this.#clients.get(holder)?.current !== undefined)
      return new PermissionDeniedError(`uuid ${id.uuid} is registered by another connection`);
    const { permissions } = session;
    if (permissions === allPermissions) return undefined;
    const all = [...this.table.all(id.name), ...this.table.draining(id.name)];
    const others = all.filter(({ uuid }) => uuid !== id.uuid);
    const holders = others.map((stored) => this.#proofs.get(stored) ?? sameUser);
    if (permissions.mayRegister(id.name, holders)) return undefined;
    const why = holders.length > 0 ? "is in use by an actor of another owner" : "is not in its policy";
    return new PermissionDeniedError(
      `the name "${id.name}" ${why}: this registrar doesn't let the peer have it`,
    );
  }

  #onUnregister(session: Session, id: number): void {
    const client = this.#client(session);
    if (client.current !== undefined) {
      this.#remove(client.current);
      client.former = client.current;
    }
    client.current = undefined;
    // still connected, but no longer found by name
    session.peer.isReady = false;
    session.peer.isVouched = false;
    this.#acknowledge(session, id, this.table.revision);
  }

  #onLookup(session: Session, [, id, name, interest, detailed, all]: MessageOf<typeof Kind.lookup>): void {
    this.#requests++;
    this.#shared?.onQuestion(session);
    const fault = actorNameFault(name);
    if (fault !== undefined) {
      session.replyError(id, new ActorNameError(fault));
      return;
    }
    const taken = interest ? this.#interests.take(session, name, detailed === true) : undefined;
    const kept = !interest || taken !== undefined;
    if (this.#gracePeriod.isOver)
      return this.#answer(session, id, name, taken ?? this.#names.find(name), detailed === true, kept);
    // who asks for details may pass over all that are there, and wait for one that is on its way back
    const isPatient = detailed === true || all === true;
    const answer = (): void => {
      if (this.#isStopped) return session.replyError(id, retiredError());
      if (interest && !this.#gracePeriod.isOver) session.peer.channel.post([Kind.partial, name]);
      this.#answer(session, id, name, this.#names.find(name), detailed === true, kept);
    };
    const awaited = this.awaited(isPatient ? undefined : name);
    if (awaited === undefined) answer();
    else void awaited.then(() => this.#outgoing.answer(answer));
  }

  /** `record`: that of the name. `kept`: whether changes of the name will be pushed, if that was asked for. */
  #answer(
    session: Session,
    id: number,
    name: string,
    record: StoredRegistration | NameRecord | undefined,
    isDetailed: boolean,
    kept: boolean,
  ): void {
    const encode = isDetailed ? encodeDetailed : encodeRegistration;
    const isRecord = record instanceof NameRecord;
    const several = isRecord ? record.several : undefined;
    if (several !== undefined) {
      this.#answerSeveral(session, id, name, several.size, encode, kept);
      return;
    }
    const last = isRecord ? record.last : record;
    if (last === undefined) session.reply(id, []);
    else session.reply(id, isDetailed ? [encode(last)] : encode(last));
    if (!kept) session.peer.channel.post([Kind.unwatched, name]);
  }

  #answerSeveral(
    session: Session,
    id: number,
    name: string,
    count: number,
    encode: (stored: StoredRegistration) => unknown,
    kept: boolean,
  ): void {
    const onSent = (): void => {
      if (!kept) session.peer.channel.post([Kind.unwatched, name]);
    };
    if (count > mostInOneAnswer) {
      // as of when its first part leaves: what is pushed after that comes after it
      const list = LongList.of(
        () => this.table.all(name),
        (stored) => encode(stored),
      );
      session.replyInParts(id, list, onSent);
      return;
    }
    const all = this.table.all(name).map((stored) => encode(stored));
    session.reply(id, all);
    onSent();
  }

  #onReport(session: Session, uuid: string): void {
    const reported = this.#runtime.peers.get(uuid);
    log.info?.(`${describeActor(session.peer.id)} could not reach ${uuid}`);
    // only a registration's holder can change it, but whether the holder still lives can be checked
    reported?.channel.checkPeer();
  }

  #onSessionEnd(session: Session): void {
    this.#interests.leave(session);
    this.#watching?.leave(session);
    const client = this.#clients.get(session);
    this.#clients.delete(session);
    if (client?.current !== undefined) this.#remove(client.current);
    // last: with its hold gone, the name may be free
    this.#atDesk((desk) => desk.leave(session.peer));
    if (client === undefined) return;
    const last = client.current ?? client.former;
    if (last !== undefined) this.#sweeper.sweep(last);
  }

  /** Takes in an actor of another host, in place of its registration until now if that is given. */
  showRemote(actor: RemoteActor, former?: StoredRegistration): MirroredRegistration {
    const stored = this.table.mirror(actor, former);
    this.#announce(stored, former);
    return stored;
  }

  /** An actor of another host is gone. */
  hideRemote(stored: MirroredRegistration): void {
    this.#drop(stored);
  }

  #remove(stored: StoredRegistration): void {
    if (this.#shared?.remove(stored) === true) return;
    this.#drop(stored);
  }

  #drop(stored: StoredRegistration): void {
    const revision = this.table.unregister(stored);
    if (revision === 0) return;
    log.info?.(`unregistered ${describeActor(stored.id)}`);
    this.#note("down", stored, revision);
    this.#watching?.push("down", stored, revision);
    if (!isDraining(stored)) this.#pushRemoved(stored, revision);
    this.#atDesk((desk) => desk.onChange(stored.name));
  }

  /** Publishes a change to those that look at this process. */
  #note(type: "up" | "changed" | "down", { id, details }: StoredRegistration, revision: number): void {
    this.#runtime.observer?.notes("registry.change", () => ({
      type,
      actor: id,
      state: details.state,
      revision,
    }));
  }

  /** Pushes a change of the table to watchers, and what it means for lookups. `ofDetails`: it concerns nothing else. */
  #announce(stored: StoredRegistration, former?: StoredRegistration, ofDetails = false): void {
    const isRemote = stored instanceof MirroredRegistration;
    if (!isRemote) this.#shared?.put(stored);
    this.#note(former === undefined ? "up" : "changed", stored, stored.revision);
    // before the rest: a push to a lookup's peer may lose it, and so make the next change
    this.#watching?.push(former === undefined ? "up" : "changed", stored, stored.revision);
    const { name } = stored;
    const wasFound = former !== undefined && !isDraining(former);
    if (isDraining(stored)) {
      if (wasFound) this.#pushRemoved(stored, stored.revision);
      return;
    }
    // an actor of another host comes before those of this one
    const next = isRemote ? this.table.following(stored)?.uuid : undefined;
    const brief = (): Message => added(name, encodeRegistration(stored), next);
    const detailed = (): Message => added(name, encodeDetailed(stored), next);
    this.#push(name, this.#interests.push(name, ofDetails && wasFound ? undefined : brief, detailed));
    if (!wasFound) this.#atDesk((desk) => desk.onChange(name));
  }

  #pushRemoved({ name, uuid }: StoredRegistration, revision: number): void {
    this.#push(
      name,
      this.#interests.push(name, () => [Kind.removed, name, uuid, revision]),
    );
  }

  #push(name: string, steps: Iterable<unknown> | undefined): void {
    // to go on to a step is what delivers it
    if (steps !== undefined) this.#outgoing.push(this.#interests.count(name), steps, () => {});
  }
}

function added(name: string, form: unknown, before: string | undefined): Message {
  return before === undefined ? [Kind.added, name, form] : [Kind.added, name, form, before];
}

function isGiven(field: unknown): boolean {
  return field !== undefined && field !== null;
}

function retiredError(): RegistryUnavailableError {
  return new RegistryUnavailableError("this actor is no longer the registrar");
}
