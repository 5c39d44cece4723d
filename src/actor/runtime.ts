/**
 * The actor of this process: its identity, connections and exposed functions. `listeners.ts` handles where it listens,
 * and `ending.ts` how it ends. Discovery and the process tree attach themselves as parts (`part.ts`), so that this file
 * doesn't depend on them.
 */
import { Peers } from "../channel/peers.ts";
import { Channel } from "../channel/channel.ts";
import { Peer } from "../channel/peer.ts";
import { checkTimeout, type Deadline, defaultDrainMs } from "../deadline.ts";
import { ActorDrainingError, asError, ContextCancelledError } from "../errors.ts";
import { withoutFrames } from "../frames.ts";
import { type ActorId, describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger, reportFaults, setLogActor } from "../log.ts";
import { Dispatcher } from "../rpc/callee/dispatch.ts";
import type { Guard } from "../rpc/callee/serving.ts";
import type { Policy } from "../rpc/policy.ts";
import type { Observer } from "./observer.ts";
import { Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { Kind, type Message, type MessageOf } from "../wire/messages.ts";
import type { Actor, ActorStats, LookupStats, RegistrarStats } from "./actor.ts";
import type { ActorState, Details, DetailsChange, Metadata } from "./details.ts";
import { Ending } from "./ending.ts";
import { Listeners } from "./listeners.ts";
import { Part } from "./part.ts";
import { type ActorSecurity, readSecurity } from "./security.ts";

const log = logger("actor");

/** Handles messages of one kind. If it throws a `FrameError`, the connection is closed. */
export type Service<K extends Kind> = (session: Session, message: MessageOf<K>) => void;

/** What discovery contributes to an actor's public properties and `stats()`. */
export interface DiscoveryFacts {
  readonly isRegistrar: boolean;
  readonly registryAddrs: readonly Address[];
  lookupStats(): LookupStats;
  registrarStats(): RegistrarStats | undefined;
  /** Changes this actor's details, here and at every registrar that it is registered with. */
  update(change: DetailsChange): Promise<void>;
}

/** Set by discovery. Without it an actor can neither look up others nor be found. */
export const discoveryFacts: Part<DiscoveryFacts> = new Part();

export interface RuntimeOptions {
  /** The uuid of the root of its tree; default: its own. */
  readonly rootUuid?: string;
  readonly security?: ActorSecurity;
  readonly version?: string | null;
  readonly metadata?: Metadata;
  /** The uuid of the actor that started it. */
  readonly parent?: string;
  /** See `Runtime.isClient`. */
  readonly isClient?: boolean;
}

export class Runtime implements Actor {
  readonly id: ActorId;
  readonly isRoot: boolean;
  /** Whether it only looks and calls: it doesn't listen, isn't registered, and is nobody's peer by name. */
  readonly isClient: boolean;
  /** The uuid of the root of its tree. */
  readonly rootUuid: string;
  readonly limits: Limits;
  readonly policy: Policy;
  readonly peers: Peers<Session>;
  readonly dispatcher: Dispatcher;
  /** Set while a child starts. */
  data: unknown;
  readonly listeners: Listeners;
  readonly ending: Ending;
  /** See `ServingHost`. Plain fields: each call reads the guard, and each portal the timeout. */
  guard: Guard | undefined = undefined;
  drainReason: Error | undefined = undefined;
  callTimeoutMs: number | undefined = undefined;
  observer: Observer | undefined = undefined;
  served = 0;
  /** Set by the process tree: drains the children, without ending them. */
  drainChildren: ((deadline: Deadline) => Promise<void>) | undefined;
  /** When it began to boot, in milliseconds since 1970. */
  readonly startedAt: number = Date.now();
  readonly version: string | null;
  readonly parent: string | null;
  /** Others learn of a change from `DiscoveryFacts.update` only. */
  metadata: Metadata;
  #state: ActorState = "ready";
  /** See `Part`. */
  readonly parts: Map<Part<unknown>, unknown> = new Map();
  readonly #services: (Service<never> | undefined)[] = [];
  readonly #onReady = new Set<(session: Session) => void>();
  readonly #onSessionEnd = new Set<(session: Session) => void>();
  #isReady = false;
  /** Set when the actor begins to drain. */
  #finished: Promise<void> | undefined;
  #local: { readonly near: Peer<Session>; readonly far: Peer<Session> } | undefined;

  constructor(id: ActorId, limits: Limits, isRoot: boolean, options: RuntimeOptions = {}) {
    const { rootUuid = id.uuid, security = readSecurity() } = options;
    this.version = options.version ?? null;
    this.metadata = options.metadata ?? {};
    this.parent = options.parent ?? null;
    this.id = id;
    this.policy = security.policy;
    this.limits = limits;
    this.isRoot = isRoot;
    this.isClient = options.isClient ?? false;
    this.rootUuid = rootUuid;
    this.dispatcher = new Dispatcher(id);
    this.peers = new Peers<Session>(
      () => ({
        id,
        addrs: this.addrs,
        isRegistrar: this.isRegistrar,
        purpose: this.#isReady ? "peer" : "boot",
      }),
      limits,
      (peer: Peer<Session>) => this.#attach(peer),
      security,
    );
    this.ending = new Ending({
      id,
      limits,
      sessions: () => this.sessions(),
      refuseAll: () => this.#refuseAll(),
      leaveLookups: () => this.leaveLookups(),
      close: () => this.#close(),
    });
    const { ending, peers } = this;
    this.listeners = new Listeners({
      id,
      rootUuid,
      credentials: security.credentials,
      drivers: peers.drivers,
      get isEnding() {
        return ending.hasBegun;
      },
      accept: (link, transport) => peers.accept(link, transport),
    });
    setLogActor(id);
    // children have the same variables
    if (isRoot || options.isClient === true) reportFaults(process.env);
    this.serve(Kind.stop, (session, message) => void ending.endFor(session, message[1], "cancelActor"));
    this.serve(Kind.drain, (session, message) => {
      const { onDrain } = require("./draining.ts") as typeof import("./draining.ts");
      void onDrain(this, session, message);
    });
    // to an actor that has asked this one's peer to stop, and isn't its parent
    this.serve(Kind.stopping, () => {});
    this.serve(Kind.watchLoad, (session) => session.watchLoad());
  }

  get name(): string {
    return this.id.name;
  }

  get uuid(): string {
    return this.id.uuid;
  }

  get state(): ActorState {
    return this.#state;
  }

  /** Connected peers learn of it at once, the registrars by `DiscoveryFacts.update`. */
  set state(state: ActorState) {
    if (state === this.#state) return;
    this.#state = state;
    if (state === "ready") this.becomeReady();
    else this.leaveLookups();
  }

  get addrs(): readonly Address[] {
    return this.listeners.advertised;
  }

  get registryAddrs(): readonly Address[] {
    return discoveryFacts.find(this)?.registryAddrs ?? [];
  }

  get isRegistrar(): boolean {
    return discoveryFacts.find(this)?.isRegistrar ?? false;
  }

  get signal(): AbortSignal {
    return this.ending.signal;
  }

  stats(): ActorStats {
    let callsInFlight = 0;
    for (const peer of this.peers) callsInFlight += peer.handler.callsInFlight;
    callsInFlight += this.#local?.near.handler.callsInFlight ?? 0;
    const discovery = discoveryFacts.find(this);
    const registrar = discovery?.registrarStats();
    return Object.freeze({
      peers: this.peers.size,
      callsInFlight,
      lookups: Object.freeze(discovery?.lookupStats() ?? { requests: 0, hits: 0, pushes: 0 }),
      ...(registrar === undefined ? {} : { registrar: Object.freeze(registrar) }),
    });
  }

  /** What this actor registers, beside its identity and addresses. */
  details(): Details {
    const { version, metadata, parent, startedAt, state } = this;
    return { version, metadata, parent, startedAt, functions: this.dispatcher.functions(), state };
  }

  async setMetadata(metadata: Metadata): Promise<void> {
    // most actors never do this, and start sooner without the file (row `spawn`)
    const { readMetadata } = require("./metadata.ts") as typeof import("./metadata.ts");
    await discoveryFacts
      .find(this)
      ?.update({ metadata: readMetadata(metadata, this.limits.maxMetadataBytes) });
  }

  /** The calls, streams and dialogs that this process has in flight to the actor of that uuid. */
  callsTo(uuid: string): number {
    const peer = uuid === this.uuid ? this.#local?.near : this.peers.get(uuid);
    return peer?.handler.callsToPeer ?? 0;
  }

  /** Routes messages of `kind` to `service`; undefined removes the current one. */
  serve<K extends Kind>(kind: K, service: Service<K> | undefined): void {
    this.#services[kind] = service;
  }

  onService(session: Session, message: Message): boolean {
    const service = this.#services[message[0]];
    // safe: `serve` stores each service under the kind that it handles
    service?.(session, message as never);
    return service !== undefined;
  }

  /** Calls `onReady` when a peer reports that it has booted and is registered. */
  watchReady(onReady: (session: Session) => void): void {
    this.#onReady.add(onReady);
  }

  onSessionReady(session: Session): void {
    for (const onReady of this.#onReady) onReady(session);
  }

  /** Calls `onEnd` synchronously when a session ends; returns an unsubscribe function. */
  watchSessions(onEnd: (session: Session) => void): () => void {
    this.#onSessionEnd.add(onEnd);
    return () => this.#onSessionEnd.delete(onEnd);
  }

  onSessionEnd(session: Session): void {
    this.observer?.notes("peer.close", () => ({
      ...peerMessage(session.peer),
      reason: session.peer.channel.end?.reason,
    }));
    for (const onEnd of this.#onSessionEnd) {
      try {
        onEnd(session);
      } catch (error) {
        // the other listeners must still be called
        log.error?.(`when the session with ${describeActor(session.peer.id)} ended: ${asError(error).stack}`);
      }
    }
  }

  cancel(reason: Error = new ContextCancelledError(this.id, "the actor was cancelled")): Promise<void> {
    return this.ending.begin(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  onEnd(fn: (signal: AbortSignal) => unknown, options: { readonly timeout?: number } = {}): () => void {
    const { stopGraceMs, stopTermMs } = this.limits;
    return this.ending.onEnd(fn, options.timeout ?? stopGraceMs + stopTermMs);
  }

  async drain(options: { readonly timeout?: number } = {}): Promise<void> {
    const { timeout = defaultDrainMs } = options;
    checkTimeout(timeout);
    await this.finish(timeout);
    await this.ending.begin(new ContextCancelledError(this.id, "the actor was drained"));
  }

  /**
   * Takes on nothing new; resolves when nothing runs any more, or the time is over. Doesn't end the actor. Joins the drain
   * that is under way, if there is one. Calls of the actors `among` are still served.
   */
  finish(timeoutMs: number, among: readonly string[] = []): Promise<void> {
    if (this.#finished === undefined) {
      // most actors never drain
      const { finish } = require("./draining.ts") as typeof import("./draining.ts");
      this.#finished = finish(this, timeoutMs, new Set(among));
    }
    return this.#finished;
  }

  /** Whether it drains, or has begun to. */
  get isFinishing(): boolean {
    return this.#finished !== undefined;
  }

  /** Lets only so many functions run for peers at once. */
  limitConcurrency(places: number): void {
    const { Gate } = require("../rpc/callee/gate.ts") as typeof import("../rpc/callee/gate.ts");
    this.guard = { error: undefined, spares: () => false, gate: new Gate(places, this.limits) };
  }

  async registerDraining(): Promise<void> {
    await discoveryFacts.find(this)?.update({ state: "draining" });
  }

  #attach(peer: Peer<Session>): Session {
    const session = new Session(peer, this);
    this.observer?.notes("peer.open", () => peerMessage(peer));
    return session;
  }

  /** This actor's session with itself, created on first use. */
  get localSession(): Session {
    return (this.#local ??= this.#connectToSelf()).near.handler;
  }

  #connectToSelf(): { readonly near: Peer<Session>; readonly far: Peer<Session> } {
    const { id, addrs, isRegistrar, limits } = this;
    const hello = { id, addrs, isRegistrar, purpose: "peer", target: null } as const;
    // most children never call themselves, and start sooner without the file (row `spawn`)
    const { memoryLinks } = require("../transport/memory.ts") as typeof import("../transport/memory.ts");
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

  /** Tells all peers that this actor has registered and can be found by name. */
  becomeReady(): void {
    this.#isReady = true;
    for (const peer of this.peers) peer.channel.post([Kind.ready]);
    // its parent has to hear that it has started
    if (this.#state === "draining") this.leaveLookups();
  }

  /** Tells all peers that this actor is no longer to be found by name, although it is connected. */
  leaveLookups(): void {
    if (!this.#isReady) return;
    this.#isReady = false;
    for (const peer of this.peers) peer.channel.post([Kind.ready, false]);
  }

  /** Requests are refused from now on; all of them, since the actor is ending. */
  #refuseAll(): void {
    const error = withoutFrames(() => new ActorDrainingError(this.id, "ending"));
    this.guard = { error, spares: () => false, gate: this.guard?.gate };
  }

  /** The sessions whose peers have tasks here. */
  sessions(): Session[] {
    const sessions = Array.from(this.peers, (peer) => peer.handler);
    if (this.#local !== undefined) sessions.push(this.#local.far.handler);
    return sessions;
  }

  async #close(): Promise<void> {
    this.listeners.close();
    await Promise.all([this.peers.close("cancelled"), this.#local?.near.close("cancelled")]);
  }
}

/** A connection, as `furrow.peer.open` tells of it. */
function peerMessage({ id, transport, dialledHere }: Peer<Session>): object {
  return { actor: id, transport, dialled: dialledHere };
}
