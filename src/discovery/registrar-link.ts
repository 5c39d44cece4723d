/**
 * This actor's link to one registrar: its registration there, and the cache of names that the registrar keeps current.
 * Both end with the connection.
 */
import {
  LimitError,
  NameTakenError,
  PermissionDeniedError,
  RemoteActorError,
  TimeoutError,
} from "../errors.ts";
import { setStack } from "../frames.ts";
import { describeActor } from "../identity.ts";
import type { DetailsChange } from "../actor/details.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { Limits } from "../limits.ts";
import type { Request, Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { Kind, type MessageOf } from "../wire/messages.ts";
import { NameCache } from "./cache.ts";
import type { Asker, CachedName } from "./cached-name.ts";
import type { LookupHost, LookupRequest, Push } from "./lookup-request.ts";
import {
  type Answered,
  decodeAnswer,
  decodeRegistration,
  encodeAddresses,
  encodeDetails,
  type Found,
  type FoundRegistration,
  isDetailed,
  listOf,
} from "./registration.ts";

/** How often a registry address is probed that stays silent. */
export const probeTries = 3;

/** How long a probe, a lookup without a timeout, and a wait for the next registrar put up with silence, in all. */
export function registryPatienceMs(limits: Limits): number {
  return probeTries * limits.probeTimeoutMs;
}

/** Counted over all registrars; see `LookupStats`. */
export interface LookupCounters {
  requests: number;
  hits: number;
  pushes: number;
}

/** Loaded by the first request: many children look nothing up. */
let requests: typeof import("./lookup-request.ts") | undefined;

/** Requests that are over are only removed from a list at least twice this long. */
const sparseFrom = 64;

type LookupMessage = Extract<Request, [typeof Kind.lookup, ...unknown[]]>;

/** Removes the request from those that are shared, if it is one of them. */
function isTaken(shared: Map<string, LookupRequest>, request: LookupRequest): boolean {
  return shared.size > 0 && shared.get(request.name) === request && shared.delete(request.name);
}

function isUnderway(request: LookupRequest): boolean {
  return !request.isOver;
}

export class RegistrarLink implements LookupHost {
  readonly session: Session;
  /** The registry addresses that lead to this registrar. */
  readonly addrs: Set<Address> = new Set<Address>();
  readonly cache: NameCache;
  readonly #counters: LookupCounters;
  /** In the order of asking; those that are over stay until they are the majority. */
  #requests: LookupRequest[] = [];
  #underway = 0;
  /** Those of them that ask for details, by name; and those that ask again for all. */
  readonly #detailed = new Map<string, LookupRequest>();
  readonly #whole = new Map<string, LookupRequest>();
  /** Those of which a part has arrived. */
  readonly #begun = new Set<LookupRequest>();
  readonly #patienceMs: number;
  #silenceTimer: Timer | undefined;
  #isOver = false;
  #isRegistered = false;
  /** The last change of this actor's details that the registrar has acknowledged (see `Registrars`), or -1 before the first. */
  acknowledged = -1;

  /** Takes over one `acquire` of the session's peer. */
  constructor(session: Session, runtime: Runtime, counters: LookupCounters) {
    this.session = session;
    session.peer.isVouched = true;
    this.#counters = counters;
    this.#patienceMs = registryPatienceMs(runtime.limits);
    this.cache = new NameCache(runtime.limits.maxCachedNames, (name) =>
      session.peer.channel.post([Kind.forget, name]),
    );
  }

  /** Whether the registrar can be asked: a connected peer may have stopped being one. */
  get isOpen(): boolean {
    return !this.#isOver && this.session.peer.isOpen;
  }

  /**
   * Registers this actor with all its addresses and details, as of its change number `change`, in one message; resolves
   * when the registrar has acknowledged it.
   */
  async register(runtime: Runtime, change: number): Promise<void> {
    const { id, addrs } = runtime;
    this.#isRegistered = true;
    const details = encodeDetails(runtime.details());
    await this.session.request([Kind.register, 0, encodeAddresses(addrs, id.host), details]);
    this.acknowledged = change;
  }

  /** Whether lookups at this registrar find this actor. */
  get isListed(): boolean {
    return this.#isRegistered && this.acknowledged >= 0 && this.isOpen;
  }

  /**
   * Changes this actor's details; resolves when the registrar has acknowledged it. At once if this actor isn't registered
   * there yet: its registration will bring the change.
   */
  async update({ metadata, state }: DetailsChange, change: number): Promise<void> {
    if (!this.#isRegistered) return;
    await this.session.request([Kind.update, 0, metadata ?? null, state ?? null]);
    this.acknowledged = change;
  }

  unregister(): Promise<unknown> {
    this.#isRegistered = false;
    return this.session.request([Kind.unregister, 0]);
  }

  /** The registrations of a name if the cache has it, an empty list included; counted as a hit. Else undefined. */
  known(name: string): Found | undefined {
    const entry = this.cache.find(name);
    const list = entry?.list;
    return list === undefined ? undefined : this.#hit(entry!, list);
  }

  /** The last of `known`, null for a known miss. It takes no longer when the name has very many. `entry`: the cache's. */
  lastKnown(
    name: string,
    entry: CachedName | undefined = this.cache.find(name),
  ): FoundRegistration | null | undefined {
    const last = entry?.last;
    return last === undefined ? undefined : this.#hit(entry!, last);
  }

  /**
   * The registrations of a name in the order of registration: from the cache, synchronously, when the name is known; else
   * by one request that also subscribes to every later change. `entry`: the cache's, which is only searched once.
   *
   * @throws {TimeoutError} with stage "lookup" when the registrar is silent; a late answer still makes the name known
   */
  lookup(name: string, entry: CachedName | undefined = this.cache.find(name)): Found | Promise<Found> {
    const list = entry?.list;
    if (list !== undefined) return this.#hit(entry!, list);
    return (entry?.asking ?? this.#request(name, [Kind.lookup, 0, name, true], entry)).promise;
  }

  /** As `lookup` of a name that isn't known, for one who needs no promise. */
  ask(name: string, asker: Asker, entry: CachedName | undefined): void {
    const underway = entry?.asking;
    if (underway === undefined) this.#request(name, [Kind.lookup, 0, name, true], entry, undefined, asker);
    else underway.join(asker);
  }

  /** As `lookup`, for registrations with their details. From then on the registrar pushes those too. */
  lookupDetailed(name: string): Found | Promise<Found> {
    const entry = this.cache.find(name);
    const list = entry?.list;
    if (list !== undefined && isDetailed(list)) return this.#hit(entry!, list);
    return (
      this.#detailed.get(name) ??
      this.#request(name, [Kind.lookup, 0, name, true, true], entry, this.#detailed)
    ).promise;
  }

  /**
   * As `lookup`, for those who want every instance: if the registrar has just taken over, they wait until all that are on
   * their way back have had the time.
   */
  lookupAll(name: string): Found | Promise<Found> {
    const entry = this.cache.find(name);
    const list = entry?.list;
    if (list === undefined || entry!.isPartial) return this.#lookupWhole(name);
    return this.#hit(entry!, list);
  }

  async #lookupWhole(name: string): Promise<Found> {
    // nearly always this is the whole: it is shared with those who want any instance, and nothing more is asked
    const found = this.cache.get(name) ?? (await this.lookup(name));
    const entry = this.cache.find(name);
    if (entry?.isKnown === true && !entry.isPartial) return found;
    return await (
      this.#whole.get(name) ??
      this.#request(name, [Kind.lookup, 0, name, true, false, true], entry, this.#whole)
    ).promise;
  }

  /** The only place where hits are counted. */
  #hit<T>(entry: CachedName, known: T): T {
    entry.used = true;
    this.#counters.hits++;
    return known;
  }

  /** `among`: where those who want the same find it, if not at the name's entry. */
  #request(
    name: string,
    message: LookupMessage,
    known: CachedName | undefined,
    among?: Map<string, LookupRequest>,
    asker?: Asker,
  ): LookupRequest {
    this.#counters.requests++;
    const entry = known ?? this.cache.begin(name);
    requests ??= require("./lookup-request.ts") as typeof import("./lookup-request.ts");
    const request = new requests.LookupRequest(name, entry, this, asker);
    this.#underway++;
    entry.asking = request;
    among?.set(name, request);
    try {
      this.session.ask(message, request);
      this.#noteRequest(request);
    } catch (error) {
      request.reject(error);
    }
    return request;
  }

  onBegun(request: LookupRequest): void {
    this.#begun.add(request);
  }

  onOver(request: LookupRequest, answered: Answered | undefined): void {
    const { name, entry, isOver } = request;
    this.#begun.delete(request);
    const { cache } = this;
    const isNews = answered !== undefined && this.isOpen;
    if (isOver) {
      // late: the name may have been asked for again, with that answer still to come
      if (isNews && !request.hasBegun) cache.answer(cache.find(name) ?? cache.begin(name), answered);
      return;
    }
    this.#underway--;
    // a later request for the details may have taken its place
    if (entry.asking === request) entry.asking = undefined;
    const isWhole = isTaken(this.#detailed, request) || isTaken(this.#whole, request);
    // synchronously: the next message of the same chunk may be a pushed change
    if (!isNews) {
      cache.giveUp(name, entry);
      if (this.#isOver && this.#underway === 0) clearTimeout(this.#silenceTimer);
      return;
    }
    cache.answer(entry, answered);
    if (isWhole) entry.isPartial = false;
  }

  #onPush(name: string, push: Push): void {
    this.#counters.pushes++;
    if (this.#begun.size > 0)
      for (const request of this.#begun) if (request.name === name) request.push(push);
    if ("found" in push) this.cache.added(name, push.found, push.before);
    else this.cache.removed(name, push.uuid);
  }

  /**
   * One timer watches all requests for silence: a timer each would cost more than the request (row
   * `lookup.registrar.unix`). It keeps running when the last one is answered, or successive lookups would each start one.
   */
  #noteRequest(request: LookupRequest): void {
    const half = this.#requests.length >> 1;
    if (half >= sparseFrom && half > this.#underway) this.#requests = this.#requests.filter(isUnderway);
    this.#requests.push(request);
    this.#silenceTimer ??= this.#watchSilence(this.#patienceMs);
  }

  #watchSilence(ms: number): Timer {
    const timer = setTimeout(() => {
      this.#silenceTimer = undefined;
      this.#requests = this.#requests.filter(isUnderway);
      const now = performance.now();
      let waitMs = Infinity;
      for (const request of this.#requests) {
        const leftMs = request.heardAt + this.#patienceMs - now;
        if (leftMs > 0) {
          waitMs = Math.min(waitMs, leftMs);
          continue;
        }
        const registrar = describeActor(this.session.peer.id);
        const text = `${registrar}, the registrar, has not answered a lookup of "${request.name}" within ${this.#patienceMs} ms`;
        request.reject(new TimeoutError("lookup", text));
      }
      if (waitMs < Infinity) this.#silenceTimer = this.#watchSilence(waitMs);
    }, ms);
    timer.unref();
    return timer;
  }

  onAdded(message: MessageOf<typeof Kind.added>): void {
    const name = message[1];
    this.#onPush(name, { found: decodeRegistration(name, message[2]), before: message[3] });
  }

  /** Comes ahead of the answer that it is about. */
  onPartial(name: string): void {
    const entry = this.cache.find(name) ?? this.cache.begin(name);
    entry.isPartial = true;
  }

  onRemoved(message: MessageOf<typeof Kind.removed>): void {
    this.#onPush(message[1], { uuid: message[2] });
  }

  /** Reports that no address of `uuid` answers; the registrar then checks for itself. */
  report(uuid: string): void {
    this.session.peer.channel.post([Kind.report, uuid]);
  }

  /**
   * Voids the cache. A connection that stays open, to a registrar that refused the registration, may still have requests
   * in progress: they keep their time to wait.
   */
  onEnd(): void {
    this.#isOver = true;
    if (this.#underway === 0 || !this.session.peer.isOpen) clearTimeout(this.#silenceTimer);
    this.cache.clear();
  }
}

/** A reachable registrar refused the registration; `cause` is what a boot fails with. */
export class RegistrationRefused extends Error {
  /** Whether it would be refused again: not by one that is only about to end. */
  readonly isFinal: boolean;

  constructor(cause: Error, refusal: unknown) {
    super(cause.message, { cause });
    this.isFinal = refusal instanceof LimitError || refusal instanceof PermissionDeniedError;
  }
}

/** The refusal of a name, if that is what a registrar's error says. */
export function nameTaken(error: unknown): NameTakenError | undefined {
  const told = error instanceof RemoteActorError ? error.cause : error;
  if (!(told instanceof NameTakenError)) return undefined;
  // its frames would be the registrar's
  if (told !== error) setStack(told, []);
  return told;
}

/** Asks a registrar once: the answer is not cached, and its changes are not pushed. */
export async function askOnce(
  session: Session,
  name: string,
  counters: LookupCounters,
  wantsDetails = false,
  wantsAll = false,
): Promise<Found> {
  counters.requests++;
  const answer = await session.request(
    wantsDetails || wantsAll
      ? [Kind.lookup, 0, name, false, wantsDetails, wantsAll]
      : [Kind.lookup, 0, name, false],
  );
  return listOf(name, decodeAnswer(name, answer));
}
