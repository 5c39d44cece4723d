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
import type { Answer, Request, Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { Kind, type MessageOf } from "../wire/messages.ts";
import { NameCache } from "./cache.ts";
import { CachedName } from "./cached-name.ts";
import {
  decodeRegistration,
  decodeRegistrations,
  encodeAddresses,
  encodeDetails,
  type Found,
  type FoundRegistration,
  isDetailed,
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

/** What a link hears of its requests. */
interface LookupHost {
  /** The first part of a long answer has arrived. */
  onBegun(request: LookupRequest): void;
  /** Called when a request ends, before its promise settles; and again with a list that comes after that, too late. */
  onOver(request: LookupRequest, list: Found | undefined): void;
}

/** When each request that failed was made, by `performance.now()`. */
const failures = new WeakMap<object, number>();

/** When the request was made whose promise was rejected. */
export function failedSince(promise: object): number | undefined {
  return failures.get(promise);
}

/** A lookup in progress, shared by all that wait for it. */
class LookupRequest implements Answer {
  readonly name: string;
  readonly entry: CachedName;
  readonly promise: Promise<Found>;
  readonly since: number = performance.now();
  /** When the registrar was heard of last: since then it is silent. */
  heardAt: number = this.since;
  isOver = false;
  /** What the registrar has pushed since the first part of its answer, which is as of then. */
  readonly pushed: Push[] = [];
  readonly #host: LookupHost;
  #parts: FoundRegistration[] | undefined;
  #resolve!: (list: Found) => void;
  #reject!: (error: unknown) => void;

  constructor(name: string, entry: CachedName, host: LookupHost) {
    this.name = name;
    this.entry = entry;
    this.#host = host;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Whether a part of its answer has arrived: what was pushed after it has timed out isn't known. */
  get hasBegun(): boolean {
    return this.#parts !== undefined;
  }

  takePart(part: unknown[]): void {
    this.heardAt = performance.now();
    const decoded = decodeRegistrations(this.name, part);
    if (this.#parts === undefined) {
      this.#parts = [];
      this.#host.onBegun(this);
    }
    for (const one of decoded) this.#parts.push(one);
  }

  resolve(answer: unknown): void {
    try {
      const rest = decodeRegistrations(this.name, answer);
      const list = this.#parts === undefined ? rest : withPushes(this.#parts.concat(rest), this.pushed);
      this.#over(list);
      this.#resolve(list);
    } catch (error) {
      this.reject(error);
      throw error;
    }
  }

  reject(error: unknown): void {
    this.#over(undefined);
    failures.set(this.promise, this.since);
    this.#reject(error);
  }

  #over(list: Found | undefined): void {
    this.#host.onOver(this, list);
    this.isOver = true;
  }
}

/** A list with the changes that were pushed since it was begun, applied as the cache applies them. */
function withPushes(list: Found, pushed: readonly Push[]): Found {
  const name = new CachedName("");
  name.set(list);
  for (const push of pushed)
    if ("found" in push) name.put(push.found, push.before);
    else name.remove(push.uuid);
  return name.list!;
}

/** A change of a name that the registrar has pushed. */
type Push =
  | { readonly found: FoundRegistration; readonly before: string | null | undefined }
  | { readonly uuid: string };

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
    return entry?.asking ?? this.#request(name, [Kind.lookup, 0, name, true], entry);
  }

  /** As `lookup`, for registrations with their details. From then on the registrar pushes those too. */
  lookupDetailed(name: string): Found | Promise<Found> {
    const entry = this.cache.find(name);
    const list = entry?.list;
    if (list !== undefined && isDetailed(list)) return this.#hit(entry!, list);
    return (
      this.#detailed.get(name)?.promise ??
      this.#request(name, [Kind.lookup, 0, name, true, true], entry, this.#detailed)
    );
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
    return await (this.#whole.get(name)?.promise ??
      this.#request(name, [Kind.lookup, 0, name, true, false, true], entry, this.#whole));
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
  ): Promise<Found> {
    this.#counters.requests++;
    const entry = known ?? this.cache.begin(name);
    const request = new LookupRequest(name, entry, this);
    this.#underway++;
    entry.asking = request.promise;
    among?.set(name, request);
    try {
      this.session.ask(message, request);
      this.#noteRequest(request);
    } catch (error) {
      request.reject(error);
    }
    return request.promise;
  }

  onBegun(request: LookupRequest): void {
    this.#begun.add(request);
  }

  onOver(request: LookupRequest, list: Found | undefined): void {
    const { name, entry, isOver } = request;
    this.#begun.delete(request);
    const { cache } = this;
    const isNews = list !== undefined && this.isOpen;
    if (isOver) {
      // late: the name may have been asked for again, with that answer still to come
      if (isNews && !request.hasBegun) cache.answer(cache.find(name) ?? cache.begin(name), list);
      return;
    }
    this.#underway--;
    // a later request for the details may have taken its place
    if (entry.asking === request.promise) entry.asking = undefined;
    const isWhole = isTaken(this.#detailed, request) || isTaken(this.#whole, request);
    // synchronously: the next message of the same chunk may be a pushed change
    if (!isNews) {
      cache.giveUp(name, entry);
      if (this.#isOver && this.#underway === 0) clearTimeout(this.#silenceTimer);
      return;
    }
    cache.answer(entry, list);
    if (isWhole) entry.isPartial = false;
  }

  #onPush(name: string, push: Push): void {
    this.#counters.pushes++;
    if (this.#begun.size > 0)
      for (const request of this.#begun) if (request.name === name) request.pushed.push(push);
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
  return decodeRegistrations(name, answer);
}
