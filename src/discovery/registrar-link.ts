/**
 * This actor's connection to one registrar: its registration there, and the cache of names that the registrar keeps
 * current. All of it ends with the connection.
 */
import { FrameError, TimeoutError } from "../errors.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { Answer, Session } from "../rpc/session.ts";
import { type Address, qualifyAddress } from "../transport/address.ts";
import { Kind, type Message } from "../wire/messages.ts";
import { registryPatienceMs } from "./bootstrap.ts";
import { NameCache } from "./cache.ts";
import { decodeInstance, type Instance } from "./instance.ts";

/** Counted over all registrars; see `LookupStats`. */
export interface LookupCounters {
  requests: number;
  hits: number;
  pushes: number;
}

/** What a registrar knows of a name, in the order of registration. */
export type Instances = readonly Instance[];

/** A lookup that is under way, for all who wait for it. */
class LookupRequest implements Answer {
  readonly name: string;
  readonly answer: Promise<Instances>;
  readonly since: number = performance.now();
  readonly #onAnswer: (request: LookupRequest, list: Instance[] | undefined) => void;
  #resolve!: (list: Instances) => void;
  #reject!: (error: unknown) => void;

  constructor(name: string, onAnswer: (request: LookupRequest, list: Instance[] | undefined) => void) {
    this.name = name;
    this.#onAnswer = onAnswer;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  resolve(answer: unknown): void {
    try {
      const list = readList(this.name, answer);
      this.#onAnswer(this, list);
      this.#resolve(list);
    } catch (error) {
      this.reject(error);
      throw error;
    }
  }

  reject(error: unknown): void {
    this.#onAnswer(this, undefined);
    this.#reject(error);
  }
}

export class RegistrarLink {
  readonly session: Session;
  /** The registry addresses that lead to this registrar. */
  readonly addrs: Set<Address> = new Set<Address>();
  readonly cache: NameCache;
  readonly #counters: LookupCounters;
  /** In the order of asking. */
  readonly #underway = new Map<string, LookupRequest>();
  readonly #patienceMs: number;
  #silenceTimer: Timer | undefined;

  /** Takes over one `acquire` of the session's peer. */
  constructor(session: Session, runtime: Runtime, counters: LookupCounters) {
    this.session = session;
    this.#counters = counters;
    this.#patienceMs = registryPatienceMs(runtime.limits);
    this.cache = new NameCache(runtime.limits.maxCachedNames, (name) =>
      session.peer.channel.post([Kind.forget, name]),
    );
  }

  get isOpen(): boolean {
    return this.session.peer.isOpen;
  }

  /** Registers this actor with all its addresses, in one message; resolves when the registrar has acknowledged. */
  async register(runtime: Runtime): Promise<void> {
    const { id, addrs } = runtime;
    await this.session.request(
      Kind.register,
      addrs.map((addr) => qualifyAddress(addr, id.host)),
    );
  }

  async unregister(): Promise<void> {
    await this.session.request(Kind.unregister);
  }

  /**
   * The instances of a name in the order of registration: from memory when the name is known, else by one request that
   * also asks for every later change. Synchronous in the first case.
   *
   * @throws {TimeoutError} with stage "lookup" when the registrar is silent; a late answer still makes the name known
   */
  lookup(name: string): Instances | Promise<Instances> {
    const known = this.cache.get(name);
    if (known !== undefined) {
      this.#counters.hits++;
      return known;
    }
    return (this.#underway.get(name) ?? this.#request(name)).answer;
  }

  #request(name: string): LookupRequest {
    this.#counters.requests++;
    const request = new LookupRequest(name, this.#answered);
    try {
      this.session.ask([Kind.lookup, 0, name, true], request);
      this.#underway.set(name, request);
      this.#silenceTimer ??= this.#watchSilence(this.#patienceMs);
    } catch (error) {
      request.reject(error);
    }
    return request;
  }

  /** In the very moment of the answer: a pushed change may be the next message in the same chunk. */
  readonly #answered = (request: LookupRequest, list: Instance[] | undefined): void => {
    const { name } = request;
    if (this.#underway.get(name) === request) this.#underway.delete(name);
    if (list !== undefined && this.isOpen) this.cache.install(name, list);
  };

  /**
   * One timer for all requests: each with its own would cost more than the request (row `lookup.registrar.unix`). It is
   * left alone when the last one is answered, or lookups one by one would start one each.
   */
  #watchSilence(ms: number): Timer {
    const timer = setTimeout(() => {
      this.#silenceTimer = undefined;
      const now = performance.now();
      for (const [name, request] of this.#underway) {
        const endsAt = request.since + this.#patienceMs;
        if (endsAt > now) {
          this.#silenceTimer = this.#watchSilence(endsAt - now);
          return;
        }
        this.#underway.delete(name);
        request.reject(new TimeoutError("lookup", `lookup of "${name}": deadline passed in stage "lookup"`));
      }
    }, ms);
    timer.unref();
    return timer;
  }

  onAdded(message: Message): void {
    this.#counters.pushes++;
    const name = message[1] as string;
    this.cache.added(name, decodeInstance(name, message[2]));
  }

  onRemoved(message: Message): void {
    this.#counters.pushes++;
    this.cache.removed(message[1] as string, message[2] as string);
  }

  /** Tells the registrar that nobody answers at any address of `uuid`; it looks for itself. */
  report(uuid: string): void {
    this.session.peer.channel.post([Kind.report, uuid]);
  }

  /** What was cached through a connection that ended is void at that moment. */
  onEnd(): void {
    clearTimeout(this.#silenceTimer);
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
  return readList(name, await session.request(Kind.lookup, name, false));
}

function readList(name: string, answer: unknown): Instance[] {
  if (!Array.isArray(answer)) throw new FrameError(`a registrar answered no list for "${name}"`);
  return (answer as unknown[]).map((form) => decodeInstance(name, form));
}
