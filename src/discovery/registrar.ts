/**
 * The table served to peers.
 *
 * Presence is a lease held by a connection: an entry goes in the moment its connection ends. Whoever looks a name up
 * may take an interest in it; each change of that name is then pushed to them, before the change is acknowledged.
 */
import { dirname } from "node:path";

import { isSameUser, type PeerProof } from "../channel/credentials.ts";
import {
  ActorNameError,
  asError,
  LimitError,
  PermissionDeniedError,
  RegistryUnavailableError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { RegistrarStats } from "../actor/actor.ts";
import type { Runtime } from "../actor/runtime.ts";
import { allPermissions } from "../rpc/policy.ts";
import type { Session } from "../rpc/session.ts";
import { currentTask } from "../rpc/task.ts";
import { type Address, parseAddress, qualifyAddress } from "../transport/address.ts";
import { removeDyingSocket } from "../transport/socket-lock.ts";
import { actorNameFault, checkActorName } from "../wire/actor-name.ts";
import { Kind, type Message, type MessageOf } from "../wire/messages.ts";
import { HoldBack } from "./hold-back.ts";
import type { Members, OtherMembers } from "./members.ts";
import { socketDirs } from "./places.ts";
import {
  encodeRegistration,
  readRegisteredAddresses,
  type Registration,
  registrationOf,
} from "./registration.ts";
import { type Entry, RegistryTable } from "./table.ts";

const log = logger("discovery");

const sameUser: PeerProof = { auth: "same-user" };

/** What the registrar keeps for each connection. */
interface Client {
  entry: Entry | undefined;
  /** The entry that it gave back itself: it may still be killed before it has removed its socket file. */
  former: Entry | undefined;
  interests: Set<string> | undefined;
}

export class RegistrarService {
  readonly table: RegistryTable = new RegistryTable();
  readonly #runtime: Runtime;
  readonly #clients = new Map<Session, Client>();
  /**
   * Who wants to hear of a name's changes: peers by push, and this process by call. Most names interest one peer, which
   * then stands for the set.
   */
  readonly #interested = new Map<string, Session | Set<Session>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  /** How the actor of each entry proved who it is, where the kernel doesn't say that it is of this user. */
  readonly #proofs = new WeakMap<Entry, PeerProof>();
  #ownEntry: Entry | undefined;
  #requests = 0;
  #pushes = 0;
  readonly #holdBack = new HoldBack();
  #isStopped = false;
  readonly #undo: (() => void)[];
  /** The socket files of actors whose connection ended: removed as soon as their process lets go of them. */
  readonly #dying = new Map<string, Promise<unknown>>();

  /** Begins to serve. Misses are held back at least until `opened`. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    runtime.serve(Kind.register, (session, message) => this.#onRegister(session, message));
    runtime.serve(Kind.unregister, (session, message) => this.#onUnregister(session, message[1]));
    runtime.serve(Kind.lookup, (session, message) => this.#onLookup(session, message));
    runtime.serve(Kind.forget, (session, message) => this.#loseInterest(session, message[1]));
    runtime.serve(Kind.report, (session, message) => this.#onReport(session, message[1]));
    runtime.dispatcher.serve("registrar", {
      findActor: (name) => this.#whenKnown(checkName(name), (known) => this.#show(this.table.last(known))),
      findActors: (name) =>
        this.#whenKnown(checkName(name), (known) => this.table.all(known).map((entry) => this.#show(entry))),
      listActors: async () => {
        if (!this.#holdBack.isOver) await this.#holdBack.over;
        this.#checkServing();
        return Array.from(this.table.entries(), (entry) => this.#show(entry));
      },
      waitForActor: (name) => this.#serveWait(checkName(name)),
    });
    this.#undo = [
      runtime.watchSessions((session) => this.#onSessionEnd(session)),
      runtime.atEnd("rest", async () => this.#holdBack.end()),
    ];
  }

  /**
   * All registry addresses are bound: from here on the bounds of the hold-back count. `mayHaveMore`: another registrar
   * served before, and may have had actors of whom this host knows nothing.
   */
  opened(members: Members, others: OtherMembers, mayHaveMore: boolean): void {
    const { host } = this.#runtime.id;
    const missing = others.kind === "pids" ? new Set(others.pids) : undefined;
    for (const entry of this.table.entries())
      if (entry.host === host && isSameUser(this.#proofs.get(entry) ?? sameUser)) missing?.delete(entry.pid);
    const expected: OtherMembers =
      missing === undefined
        ? others
        : missing.size > 0
          ? { kind: "pids", pids: missing, areAll: true }
          : { kind: "none" };
    const areAll = others.kind !== "pids" || others.areAll;
    this.#holdBack.expect(expected, mayHaveMore || !areAll, () => members.pids());
  }

  /** Serves no more. Peers that took this for their registrar hear of it, and look for the next. */
  stop(): void {
    for (const undo of this.#undo) undo();
    this.#isStopped = true;
    const gone = (session: Session, id: number): void => session.replyError(id, notAnyMore());
    const runtime = this.#runtime;
    // what is on its way from clients that haven't heard of it yet
    for (const kind of [Kind.register, Kind.unregister, Kind.lookup])
      runtime.serve(kind, (session, message) => gone(session, message[1]));
    for (const kind of [Kind.forget, Kind.report]) runtime.serve(kind, () => {});
    runtime.dispatcher.unserve("registrar");
    this.#holdBack.end();
    for (const name of Array.from(this.#watchers.keys())) this.#wake(name);
    for (const session of this.#clients.keys()) session.peer.channel.post([Kind.retired]);
  }

  /** Resolves when what killed actors left has been removed; within a second. */
  async swept(): Promise<void> {
    await Promise.all(this.#dying.values());
  }

  /** Puts the registrar's own entry in, or its new addresses. */
  registerSelf(): void {
    const { id, addrs } = this.#runtime;
    const qualified = addrs.map((addr) => qualifyAddress(addr, id.host));
    this.#ownEntry = this.table.register(id, qualified, this.#ownEntry);
    this.#announce(this.#ownEntry);
  }

  unregisterSelf(): void {
    if (this.#ownEntry !== undefined) this.#remove(this.#ownEntry);
    this.#ownEntry = undefined;
  }

  stats(): RegistrarStats {
    const { size: actors, names, revision } = this.table;
    return { actors, names, requests: this.#requests, pushes: this.#pushes, revision };
  }

  /**
   * Undefined when what the table says of the name can be relied on. Else resolves when it can: the name is there, or
   * the hold-back is over.
   */
  awaited(name: string): Promise<void> | undefined {
    if (this.#holdBack.isOver || this.table.last(name) !== undefined) return undefined;
    const changed = Promise.withResolvers<void>();
    const unwatch = this.watch(name, changed.resolve);
    return Promise.race([this.#holdBack.over, changed.promise]).finally(unwatch);
  }

  /** Has `onChange` called once, at the next change of `name`; returns the function that takes it back. */
  watch(name: string, onChange: () => void): () => void {
    let watchers = this.#watchers.get(name);
    if (watchers === undefined) this.#watchers.set(name, (watchers = new Set()));
    watchers.add(onChange);
    return () => {
      watchers.delete(onChange);
      if (watchers.size === 0 && this.#watchers.get(name) === watchers) this.#watchers.delete(name);
    };
  }

  #client(session: Session): Client {
    let client = this.#clients.get(session);
    if (client === undefined)
      this.#clients.set(session, (client = { entry: undefined, former: undefined, interests: undefined }));
    return client;
  }

  #onRegister(session: Session, message: MessageOf<typeof Kind.register>): void {
    const denied = this.#denial(session);
    if (denied !== undefined) {
      log.warn?.(`${describeActor(session.peer.id)}: ${denied.message}`);
      session.replyError(message[1], denied);
      return;
    }
    const client = this.#client(session);
    // a peer registers what it is by its handshake, so no other can change the entry
    const { id } = session.peer;
    let addrs: Address[];
    try {
      addrs = readRegisteredAddresses(message[2], id.host);
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      session.replyError(message[1], error);
      return;
    }
    client.entry = this.table.register(id, addrs, client.entry);
    session.peer.isVouched = true;
    const { proof } = session.peer;
    if (proof.auth !== "same-user") this.#proofs.set(client.entry, proof);
    // a peer of another owner may claim the pid of an actor that is still on its way back
    if (!this.#holdBack.isOver && isSameUser(proof)) this.#noteReturn(session);
    log.info?.(`registered ${describeActor(id)} at ${addrs.join(" ")}`);
    this.#announce(client.entry);
    session.reply(message[1], client.entry.revision);
  }

  /** The list of members has the kernel's pids: a peer in a pid namespace of its own calls itself something else. */
  #noteReturn({ peer: { channel, id } }: Session): void {
    const { peer } = channel.link;
    if (peer?.kind === "unix" && peer.pid > 0) this.#holdBack.onRegistered(peer.pid);
    else if (id.host === this.#runtime.id.host) this.#holdBack.onRegistered(id.pid);
  }

  /** Why the peer may not register, or undefined when it may. */
  #denial(session: Session): PermissionDeniedError | undefined {
    const { id } = session.peer;
    const holder = this.#runtime.peers.get(id.uuid)?.handler;
    if (holder !== undefined && holder !== session && this.#clients.get(holder)?.entry !== undefined)
      return new PermissionDeniedError(`uuid ${id.uuid} is registered by another connection`);
    const { permissions } = session;
    if (permissions === allPermissions) return undefined;
    const others = this.table.all(id.name).filter(({ uuid }) => uuid !== id.uuid);
    const holders = others.map((entry) => this.#proofs.get(entry) ?? sameUser);
    if (permissions.mayRegister(id.name, holders)) return undefined;
    const why = holders.length > 0 ? "is in use by an actor of another owner" : "is not in its policy";
    return new PermissionDeniedError(
      `the name "${id.name}" ${why}: this registrar doesn't let the peer have it`,
    );
  }

  #onUnregister(session: Session, id: number): void {
    const client = this.#client(session);
    if (client.entry !== undefined) {
      this.#remove(client.entry);
      client.former = client.entry;
    }
    client.entry = undefined;
    // still connected, and not to be found any more
    session.peer.isReady = false;
    session.peer.isVouched = false;
    session.reply(id, this.table.revision);
  }

  #onLookup(session: Session, [, id, name, interest]: MessageOf<typeof Kind.lookup>): void {
    this.#requests++;
    const fault = actorNameFault(name);
    if (fault !== undefined) {
      session.replyError(id, new ActorNameError(fault));
      return;
    }
    const kept = !interest || this.#takeInterest(session, name);
    const entries = this.table.all(name);
    if (entries.length > 0 || this.#holdBack.isOver) answer(session, id, name, entries, kept);
    else
      void this.awaited(name)?.then(() => {
        if (this.#isStopped) session.replyError(id, notAnyMore());
        else answer(session, id, name, this.table.all(name), kept);
      });
  }

  /** Answers at once, unless the name is missing and may still be on its way back. */
  #whenKnown<T>(name: string, answer: (name: string) => T): T | Promise<T> {
    const awaited = this.awaited(name);
    if (awaited === undefined) return answer(name);
    return awaited.then(() => {
      this.#checkServing();
      return answer(name);
    });
  }

  /** What was held back while others took the addresses has no answer here: the table was never filled. */
  #checkServing(): void {
    if (this.#isStopped) throw notAnyMore();
  }

  #onReport(session: Session, uuid: string): void {
    const reported = this.#runtime.peers.get(uuid);
    log.info?.(`${describeActor(session.peer.id)} could not reach ${uuid}`);
    // only the holder of an entry changes it; but whether the holder is still there can be looked at
    reported?.channel.checkPeer();
  }

  #onSessionEnd(session: Session): void {
    const client = this.#clients.get(session);
    if (client === undefined) return;
    this.#clients.delete(session);
    for (const name of client.interests ?? []) this.#dropInterest(session, name);
    if (client.entry !== undefined) this.#remove(client.entry);
    const last = client.entry ?? client.former;
    if (last !== undefined) for (const addr of last.addrs) this.#sweep(addr, last);
  }

  /**
   * A process that was killed leaves its socket file, and the registrar that had its lease cleans up. The path is a peer's
   * word: nothing goes but a socket in a directory of this registry, whose lock proves that its owner is dead.
   */
  #sweep(addr: Address, entry: Entry): void {
    const parsed = parseAddress(addr);
    if (parsed.transport !== "unix" || entry.host !== this.#runtime.id.host) return;
    const { path } = parsed;
    if (this.#dying.has(path)) return;
    const remove = async (): Promise<void> => {
      if (socketDirs(this.#runtime.registryAddrs).has(dirname(path))) await removeDyingSocket(path);
    };
    const sweeping = remove()
      .catch((error: unknown) => log.warn?.(`cannot remove ${path}: ${asError(error).message}`))
      .finally(() => this.#dying.delete(path));
    this.#dying.set(path, sweeping);
  }

  /** Whether its changes will be pushed: a peer's interests are bounded, so that they cannot fill the memory. */
  #takeInterest(session: Session, name: string): boolean {
    const client = this.#client(session);
    const interests = (client.interests ??= new Set());
    if (interests.size >= this.#runtime.limits.maxCachedNames * 2 && !interests.has(name)) return false;
    interests.add(name);
    const interested = this.#interested.get(name);
    if (interested === undefined) this.#interested.set(name, session);
    else if (interested instanceof Set) interested.add(session);
    else if (interested !== session) this.#interested.set(name, new Set([interested, session]));
    return true;
  }

  #loseInterest(session: Session, name: string): void {
    if (this.#clients.get(session)?.interests?.delete(name)) this.#dropInterest(session, name);
  }

  #dropInterest(session: Session, name: string): void {
    const interested = this.#interested.get(name);
    if (interested instanceof Set) interested.delete(session);
    if (interested === session || (interested instanceof Set && interested.size === 0))
      this.#interested.delete(name);
  }

  #remove(entry: Entry): void {
    const revision = this.table.unregister(entry);
    if (revision === 0) return;
    log.info?.(`unregistered ${describeActor(entry.id)}`);
    this.#push(entry.name, () => [Kind.removed, entry.name, entry.uuid, revision]);
  }

  #announce(entry: Entry): void {
    this.#push(entry.name, () => [Kind.added, entry.name, encodeRegistration(entry)]);
  }

  /** Tells everybody who is interested in the name; mostly nobody is. */
  #push(name: string, change: () => Message): void {
    const interested = this.#interested.get(name);
    if (interested !== undefined) {
      const message = change();
      if (interested instanceof Set) for (const session of interested) this.#pushTo(session, message);
      else this.#pushTo(interested, message);
    }
    this.#wake(name);
  }

  #pushTo(session: Session, message: Message): void {
    this.#pushes++;
    session.peer.channel.post(message);
  }

  #wake(name: string): void {
    const watchers = this.#watchers.get(name);
    if (watchers === undefined) return;
    this.#watchers.delete(name);
    for (const watcher of watchers) watcher();
  }

  #show(entry: Entry): Registration;
  #show(entry: Entry | undefined): Registration | null;
  #show(entry: Entry | undefined): Registration | null {
    return entry === undefined ? null : registrationOf(entry, currentTask().caller.host);
  }

  async #serveWait(name: string): Promise<Registration> {
    const { signal } = currentTask();
    for (;;) {
      const entry = this.table.first(name);
      if (entry !== undefined) return this.#show(entry);
      this.#checkServing();
      signal.throwIfAborted();
      const changed = Promise.withResolvers<void>();
      const unwatch = this.watch(name, changed.resolve);
      const onAbort = (): void => changed.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await changed.promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
        unwatch();
      }
    }
  }
}

/** `kept`: changes of the name will be pushed, if that was asked for. */
function answer(session: Session, id: number, name: string, entries: readonly Entry[], kept: boolean): void {
  session.reply(id, entries.map(encodeRegistration));
  if (!kept) session.peer.channel.post([Kind.unwatched, name]);
}

function notAnyMore(): RegistryUnavailableError {
  return new RegistryUnavailableError("this actor is not the registrar any more");
}

function checkName(name: unknown): string {
  checkActorName(name);
  return name;
}
