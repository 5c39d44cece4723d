/**
 * The actor of this process: its identity, listeners, connections and exposed functions, and the order in which all of
 * it ends. Discovery and the process tree attach themselves to it; it does not know them.
 */
import { Peers } from "../channel/peers.ts";
import { Channel } from "../channel/channel.ts";
import { checkExposure, type Credentials } from "../channel/credentials.ts";
import { Peer } from "../channel/peer.ts";
import { Deadline } from "../deadline.ts";
import { asError, ContextCancelledError, PermissionDeniedError, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger, setLogName } from "../log.ts";
import { Dispatcher } from "../rpc/dispatch.ts";
import { Session } from "../rpc/session.ts";
import { ambientTask, outsideTasks } from "../rpc/task.ts";
import { shieldsEnded } from "../rpc/task-group.ts";
import { checkAddressLimits, maxWildcardAddresses } from "../transport/address-limits.ts";
import { type Address, formatAddress, parseAddress } from "../transport/address.ts";
import { interfaceAddresses, ipVersion, isWildcard } from "../transport/host.ts";
import { memoryLinks } from "../transport/memory.ts";
import type { LockHolder } from "../transport/socket-lock.ts";
import type { Link, Listener, ListenerState } from "../transport/transport.ts";
import { Kind, type Message, type MessageOf } from "../wire/messages.ts";
import type { Policy } from "../rpc/policy.ts";
import type { Actor, ActorStats, LookupStats, RegistrarStats } from "./actor.ts";
import { type ActorSecurity, readSecurity } from "./security.ts";

const log = logger("actor");

/** Takes a message of its kind from a session. A throw of `FrameError` closes the connection. */
export type Service<K extends Kind> = (session: Session, message: MessageOf<K>) => void;

/** What discovery adds to an actor. */
export interface DiscoveryPart {
  readonly isRegistrar: boolean;
  readonly registryAddrs: readonly Address[];
  lookupStats(): LookupStats;
  registrarStats(): RegistrarStats | undefined;
}

/** Work at the end of the actor, in phases: children first, then the registration, then what is left. */
export type EndPhase = "children" | "registration" | "rest";

export interface RuntimeOptions {
  /** The root of its tree; default: itself. */
  readonly rootUuid?: string;
  readonly security?: ActorSecurity;
}

export class Runtime implements Actor {
  readonly id: ActorId;
  readonly isRoot: boolean;
  /** The uuid of the root of its tree. */
  readonly rootUuid: string;
  readonly limits: Limits;
  readonly policy: Policy;
  readonly #credentials: Credentials;
  readonly peers: Peers<Session>;
  readonly dispatcher: Dispatcher;
  discovery: DiscoveryPart | undefined;
  readonly #controller = new AbortController();
  /** By the address that was asked for; a port of 0 has become a real one in the listener's own. */
  readonly #listeners = new Map<Address, Listener>();
  #addrs: readonly Address[] = [];
  readonly #services: (Service<never> | undefined)[] = [];
  readonly #onSessionEnd = new Set<(session: Session) => void>();
  readonly #endings: Record<EndPhase, Set<() => Promise<void>>> = {
    children: new Set(),
    registration: new Set(),
    rest: new Set(),
  };
  #isReady = false;
  readonly #ended = new Set<() => void>();
  #local: { readonly near: Peer<Session>; readonly far: Peer<Session> } | undefined;
  #ending: Promise<void> | undefined;

  constructor(id: ActorId, limits: Limits, isRoot: boolean, options: RuntimeOptions = {}) {
    const { rootUuid = id.uuid, security = readSecurity() } = options;
    this.id = id;
    this.policy = security.policy;
    this.#credentials = security.credentials;
    this.limits = limits;
    this.isRoot = isRoot;
    this.rootUuid = rootUuid;
    this.dispatcher = new Dispatcher(id);
    this.peers = new Peers<Session>(
      () => ({
        id,
        addrs: this.#addrs,
        isRegistrar: this.isRegistrar,
        purpose: this.#isReady ? "peer" : "boot",
      }),
      limits,
      (peer: Peer<Session>) => new Session(peer, this),
      security,
    );
    setLogName(id.name);
    this.serve(Kind.ready, () => {}); // noted where the peer is kept
    this.serve(Kind.stop, (session, message) => void this.#onStop(session, message[1]));
  }

  get name(): string {
    return this.id.name;
  }

  get uuid(): string {
    return this.id.uuid;
  }

  get addrs(): readonly Address[] {
    return this.#addrs;
  }

  get registryAddrs(): readonly Address[] {
    return this.discovery?.registryAddrs ?? [];
  }

  get isRegistrar(): boolean {
    return this.discovery?.isRegistrar ?? false;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  stats(): ActorStats {
    let callsInFlight = 0;
    for (const peer of this.peers) callsInFlight += peer.handler.callsInFlight;
    callsInFlight += this.#local?.near.handler.callsInFlight ?? 0;
    const registrar = this.discovery?.registrarStats();
    return Object.freeze({
      peers: this.peers.size,
      callsInFlight,
      lookups: Object.freeze(this.discovery?.lookupStats() ?? { requests: 0, hits: 0, pushes: 0 }),
      ...(registrar === undefined ? {} : { registrar: Object.freeze(registrar) }),
    });
  }

  /**
   * Binds an address. What it adds to `addrs` can be dialled: a wildcard becomes the addresses of this host. `served`: all
   * addresses that belong together with it, for whoever finds its lock held.
   *
   * @throws {AddressError} when it cannot be bound
   * @throws {LimitError} when the actor has as many addresses as it may have
   */
  async listen(address: Address, served: readonly Address[] = [address]): Promise<void> {
    const parsed = parseAddress(address);
    if (parsed.transport === "tcp") checkExposure(address, parsed.host, this.#credentials);
    const { drivers } = this.peers;
    const accept = (link: Link): void => this.peers.accept(link, parsed.transport);
    const holder = this.holderOf(served);
    // sockets belong to the actor, not to the task that happened to open them
    const listener = await outsideTasks(() =>
      parsed.transport === "unix"
        ? drivers.unix.listen(parsed, accept, holder)
        : drivers.tcp.listen(parsed, accept),
    );
    if (this.#ending !== undefined) {
      listener.close();
      throw new TransportClosedError("this actor is ending: it listens no more");
    }
    try {
      checkAddressLimits([...this.#addrs, ...advertised(listener)]);
    } catch (error) {
      listener.close();
      throw error;
    }
    this.#listeners.set(address, listener);
    this.#advertise();
    log.info?.(`listening on ${formatAddress(listener.address)}`);
  }

  /** What a lock says that this actor holds for `addrs`. */
  holderOf(addrs: readonly Address[]): LockHolder {
    const { name, uuid, pid } = this.id;
    return { pid, name, uuid, root: this.rootUuid, addrs };
  }

  /** Has one of its addresses looked after; see `Listener.restore`. "lost" also when it is not bound. */
  async restore(address: Address): Promise<ListenerState> {
    const listener = this.#listeners.get(address);
    return listener === undefined ? "lost" : await outsideTasks(() => listener.restore());
  }

  /** The addresses as they were asked for. */
  get listening(): readonly Address[] {
    return Array.from(this.#listeners.keys());
  }

  /** What an address became when it was bound, or undefined when it is not. */
  boundAddress(address: Address): Address | undefined {
    const listener = this.#listeners.get(address);
    return listener && formatAddress(listener.address);
  }

  /** Closes listeners again: those of the given addresses, or all. */
  unlisten(addresses: Iterable<Address> = Array.from(this.#listeners.keys())): void {
    for (const address of addresses) {
      this.#listeners.get(address)?.close();
      this.#listeners.delete(address);
    }
    this.#advertise();
  }

  #advertise(): void {
    this.#addrs = Object.freeze(Array.from(this.#listeners.values()).flatMap(advertised));
  }

  /** Hands messages of `kind` to `service`, or to nobody any more. */
  serve<K extends Kind>(kind: K, service: Service<K> | undefined): void {
    this.#services[kind] = service;
  }

  onService(session: Session, message: Message): boolean {
    const service = this.#services[message[0]];
    // `serve` keeps each service under the kind that it takes
    service?.(session, message as never);
    return service !== undefined;
  }

  /** Hears of each session's end, in the moment of it; returns the function that takes it back. */
  watchSessions(onEnd: (session: Session) => void): () => void {
    this.#onSessionEnd.add(onEnd);
    return () => this.#onSessionEnd.delete(onEnd);
  }

  onSessionEnd(session: Session): void {
    for (const onEnd of this.#onSessionEnd) {
      try {
        onEnd(session);
      } catch (error) {
        // the others must hear of it all the same
        log.error?.(`at the end of ${describeActor(session.peer.id)}: ${asError(error).stack}`);
      }
    }
  }

  /** Has `work` done when the actor ends; returns the function that takes it back. */
  atEnd(phase: EndPhase, work: () => Promise<void>): () => void {
    this.#endings[phase].add(work);
    return () => this.#endings[phase].delete(work);
  }

  cancel(reason: Error = new ContextCancelledError(this.id, "the actor was cancelled")): Promise<void> {
    this.#ending ??= this.#end(reason, undefined);
    return this.#ending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  /** The session of this actor with itself, made when it is first needed. */
  get localSession(): Session {
    return (this.#local ??= this.#connectToSelf()).near.handler;
  }

  #connectToSelf(): { readonly near: Peer<Session>; readonly far: Peer<Session> } {
    const { id, addrs, isRegistrar, limits } = this;
    const hello = { id, addrs, isRegistrar, purpose: "peer", target: null } as const;
    const [near, far] = memoryLinks().map((link) => {
      const channel = new Channel(link, limits);
      return new Peer<Session>(
        hello,
        channel,
        { transport: "unix", proof: { auth: "same-user" }, ...(addrs[0] && { dialled: addrs[0] }) },
        (peer) => new Session(peer, this),
        () => {},
      );
    }) as [Peer<Session>, Peer<Session>];
    return { near, far };
  }

  /** It is registered: whoever is connected may find it by its name from now on. */
  becomeReady(): void {
    this.#isReady = true;
    for (const peer of this.peers) peer.channel.post([Kind.ready]);
  }

  /** Has `listener` called when the actor has ended. */
  onEnded(listener: () => void): void {
    this.#ended.add(listener);
  }

  async #onStop(session: Session, id: number): Promise<void> {
    if (!session.permissions.mayStop()) {
      const text = `the policy of ${describeActor(this.id)} doesn't let this peer stop it`;
      session.replyError(id, new PermissionDeniedError(text));
      return;
    }
    const reason = new ContextCancelledError(session.peer.id, "cancelActor");
    // a sign of life for whoever counts the time: it takes as long as the children below take
    const beat = setInterval(() => session.peer.channel.post([Kind.stopping]), this.limits.stopGraceMs / 3);
    const acknowledge = (): void => {
      clearInterval(beat);
      session.reply(id, true);
    };
    if (this.#ending === undefined) this.#ending = this.#end(reason, acknowledge);
    await this.#ending;
    clearInterval(beat);
  }

  /** Each phase is done, whatever fails in it; failures are logged, since there is nobody left to take them. */
  async #end(reason: Error, acknowledge: (() => void) | undefined): Promise<void> {
    log.info?.(`ending: ${reason.message}`);
    this.#controller.abort(reason);
    const sessions = Array.from(this.peers, (peer) => peer.handler);
    if (this.#local !== undefined) sessions.push(this.#local.far.handler);
    for (const session of sessions) session.abortTasks(reason);
    await Promise.all([this.#tasksEnded(sessions), this.#runEndings("children")]);
    await this.#runEndings("registration");
    acknowledge?.();
    await this.#runEndings("rest");
    try {
      this.unlisten();
      await Promise.all([this.peers.close("cancelled"), this.#local?.near.close("cancelled")]);
    } finally {
      log.info?.(`${describeActor(this.id)} ended`);
      for (const listener of this.#ended) listener();
    }
  }

  /**
   * Gives what runs for others a moment to clean up, and shielded clean-up its own bound. Who ignores the abort longer
   * than that ends with the process, or runs on unheard in one that goes on.
   */
  async #tasksEnded(sessions: readonly Session[]): Promise<void> {
    const except = ambientTask();
    const ended = Promise.all(sessions.map((session) => session.tasksEnded(except)));
    const bound = new Deadline({ timeout: this.limits.stopGraceMs / 2 }, "end of the tasks");
    try {
      await bound.race("stop", ended);
    } catch {
      log.warn?.("tasks ignore their abort; going on without them");
    }
    await shieldsEnded(except);
  }

  async #runEndings(phase: EndPhase): Promise<void> {
    const work = Array.from(this.#endings[phase]);
    this.#endings[phase].clear();
    for (const result of await Promise.allSettled(work.map((one) => one()))) {
      if (result.status === "rejected") log.warn?.(`while ending: ${asError(result.reason).message}`);
    }
  }
}

/** The addresses at which others reach a listener. */
function advertised(listener: Listener): Address[] {
  const { address } = listener;
  if (address.transport === "unix" || !isWildcard(address.host)) return [formatAddress(address)];
  const v4 = address.host === "0.0.0.0";
  const hosts = [v4 ? "127.0.0.1" : "::1"];
  for (const host of interfaceAddresses()) {
    // link-local addresses mean nothing without an interface
    const fits = ipVersion(host) === (v4 ? 4 : 6) && !/^fe80:/i.test(host);
    if (fits && hosts.length < maxWildcardAddresses && !hosts.includes(host)) hosts.push(host);
  }
  return hosts.map((host) => formatAddress({ transport: "tcp", host, port: address.port }));
}
