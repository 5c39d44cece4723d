/**
 * This actor's connection to one registrar: its registration there, and the cache of names that the registrar keeps
 * current. All of it ends with the connection.
 */
import { FrameError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { Answer, Session } from "../rpc/session.ts";
import { type Address, qualifyAddress } from "../transport/address.ts";
import { Kind, type MessageOf } from "../wire/messages.ts";
import { registryPatienceMs } from "./bootstrap.ts";
import { type CachedName, type Instances, NameCache } from "./cache.ts";
import { decodeInstance, type Instance } from "./instance.ts";

/** Counted over all registrars; see `LookupStats`. */
export interface LookupCounters {
  requests: number;
  hits: number;
  pushes: number;
}

/** A list of requests is not cleaned up below twice this length. */
const sparseFrom = 64;

function isUnderway(request: LookupRequest): boolean {
  return !request.isOver;
}

/** Hears of the end of a request before anybody else. A list that comes after that is late, and heard of too. */
type OnOver = (request: LookupRequest, list: Instances | undefined) => void;

/** A lookup that is under way, for all who wait for it. */
class LookupRequest implements Answer {
  readonly name: string;
  readonly entry: CachedName;
  readonly promise: Promise<Instances>;
  readonly since: number = performance.now();
  isOver = false;
  readonly #onOver: OnOver;
  #resolve!: (list: Instances) => void;
  #reject!: (error: unknown) => void;

  constructor(name: string, entry: CachedName, onOver: OnOver) {
    this.name = name;
    this.entry = entry;
    this.#onOver = onOver;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  resolve(answer: unknown): void {
    try {
      const list = readList(this.name, answer);
      this.#over(list);
      this.#resolve(list);
    } catch (error) {
      this.reject(error);
      throw error;
    }
  }

  reject(error: unknown): void {
    this.#over(undefined);
    this.#reject(error);
  }

  #over(list: Instances | undefined): void {
    this.#onOver(this, list);
    this.isOver = true;
  }
}

export class RegistrarLink {
  readonly session: Session;
  /** The registry addresses that lead to this registrar. */
  readonly addrs: Set<Address> = new Set<Address>();
  readonly cache: NameCache;
  readonly #counters: LookupCounters;
  /** In the order of asking, those that are over among them until they are the most. */
  #requests: LookupRequest[] = [];
  #underway = 0;
  readonly #patienceMs: number;
  #silenceTimer: Timer | undefined;
  #isOver = false;

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

  /** Whether the registrar can be asked: it may go on as a peer, and not be one any more. */
  get isOpen(): boolean {
    return !this.#isOver && this.session.peer.isOpen;
  }

  /** Registers this actor with all its addresses, in one message; resolves when the registrar has acknowledged. */
  register({ id, addrs }: Runtime): Promise<unknown> {
    const qualified = addrs.map((addr) => qualifyAddress(addr, id.host));
    return this.session.request([Kind.register, 0, qualified]);
  }

  unregister(): Promise<unknown> {
    return this.session.request([Kind.unregister, 0]);
  }

  /**
   * The instances of a name in the order of registration: from memory when the name is known, else by one request that
   * also asks for every later change. Synchronous in the first case.
   *
   * @throws {TimeoutError} with stage "lookup" when the registrar is silent; a late answer still makes the name known
   */
  lookup(name: string): Instances | Promise<Instances> {
    const entry = this.cache.find(name);
    if (entry?.list === undefined) return entry?.asking ?? this.#request(name);
    entry.used = true;
    this.#counters.hits++;
    return entry.list;
  }

  #request(name: string): Promise<Instances> {
    this.#counters.requests++;
    const entry = this.cache.find(name) ?? this.cache.begin(name);
    const request = new LookupRequest(name, entry, this.#onOver);
    this.#underway++;
    entry.asking = request.promise;
    try {
      this.session.ask([Kind.lookup, 0, name, true], request);
      this.#noteRequest(request);
    } catch (error) {
      request.reject(error);
    }
    return request.promise;
  }

  readonly #onOver: OnOver = ({ name, entry, isOver }, list) => {
    const { cache } = this;
    const isNews = list !== undefined && this.isOpen;
    if (isOver) {
      // late: it may be asked for anew, and that answer is to come
      if (isNews) cache.answer(cache.find(name) ?? cache.begin(name), list);
      return;
    }
    this.#underway--;
    // in the very moment of the answer: a pushed change may be the next message in the same chunk
    if (!isNews) {
      cache.giveUp(name, entry);
      if (this.#isOver && this.#underway === 0) clearTimeout(this.#silenceTimer);
      return;
    }
    cache.answer(entry, list);
    entry.asking = undefined;
  };

  /**
   * One timer watches all requests for silence: each with its own would cost more than the request (row
   * `lookup.registrar.unix`). It is left alone when the last one is answered, or lookups one by one would start one each.
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
      for (const request of this.#requests) {
        const endsAt = request.since + this.#patienceMs;
        if (endsAt > now) {
          this.#silenceTimer = this.#watchSilence(endsAt - now);
          return;
        }
        const registrar = describeActor(this.session.peer.id);
        const text = `${registrar}, the registrar, has not answered a lookup of "${request.name}" in ${this.#patienceMs} ms`;
        request.reject(new TimeoutError("lookup", text));
      }
    }, ms);
    timer.unref();
    return timer;
  }

  onAdded(message: MessageOf<typeof Kind.added>): void {
    this.#counters.pushes++;
    const name = message[1];
    this.cache.added(name, decodeInstance(name, message[2]));
  }

  onRemoved(message: MessageOf<typeof Kind.removed>): void {
    this.#counters.pushes++;
    this.cache.removed(message[1], message[2]);
  }

  /** Tells the registrar that nobody answers at any address of `uuid`; it looks for itself. */
  report(uuid: string): void {
    this.session.peer.channel.post([Kind.report, uuid]);
  }

  /**
   * What was cached through a connection that ended is void at that moment. One that goes on, to a registrar that did not
   * take the registration, may still have requests under way, with their time to wait.
   */
  onEnd(): void {
    this.#isOver = true;
    if (this.#underway === 0 || !this.session.peer.isOpen) clearTimeout(this.#silenceTimer);
    this.cache.clear();
  }
}

/** One request to a registrar that is not kept: no interest, no cache. */
export async function askOnce(
  session: Session,
  name: string,
  counters: LookupCounters,
): Promise<readonly Instance[]> {
  counters.requests++;
  return readList(name, await session.request([Kind.lookup, 0, name, false]));
}

/** Reads the answer in place: it is as large as what is kept of it. */
function readList(name: string, answer: unknown): Instance[] {
  if (!Array.isArray(answer)) throw new FrameError(`a registrar answered no list for "${name}"`);
  const list = answer as unknown[];
  for (let at = 0; at < list.length; at++) list[at] = decodeInstance(name, list[at]);
  return list as Instance[];
}
