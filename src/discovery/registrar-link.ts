/**
 * This actor's connection to one registrar: its registration there, and the cache of names that the registrar keeps
 * current. All of it ends with the connection.
 */
import { Patience } from "../deadline.ts";
import { FrameError } from "../errors.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { Session } from "../rpc/session.ts";
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

export class RegistrarLink {
  readonly session: Session;
  /** The registry addresses that lead to this registrar. */
  readonly addrs: Set<Address> = new Set<Address>();
  readonly cache: NameCache;
  readonly #counters: LookupCounters;
  readonly #underway = new Map<string, Promise<readonly Instance[]>>();

  readonly #patience: Patience;

  /** Takes over one `acquire` of the session's peer. */
  constructor(session: Session, runtime: Runtime, counters: LookupCounters) {
    this.session = session;
    this.#counters = counters;
    this.#patience = new Patience(registryPatienceMs(runtime.limits), "lookup of");
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
   */
  lookup(name: string): readonly Instance[] | Promise<readonly Instance[]> {
    const known = this.cache.get(name);
    if (known !== undefined) {
      this.#counters.hits++;
      return known;
    }
    return this.#underway.get(name) ?? this.#request(name);
  }

  /**
   * As `lookup`, for somebody with no bound of his own.
   *
   * @throws {TimeoutError} with stage "lookup" when the registrar is silent
   */
  ask(name: string): Promise<readonly Instance[]> {
    const found = this.lookup(name);
    if (!(found instanceof Promise)) return Promise.resolve(found);
    return this.#patience.wait(found, "lookup", name);
  }

  #request(name: string): Promise<readonly Instance[]> {
    this.#counters.requests++;
    let sent = false;
    const request = new Promise<readonly Instance[]>((resolve, reject) => {
      this.session.ask([Kind.lookup, 0, name, true], {
        resolve: (answer) => {
          this.#underway.delete(name);
          try {
            const list = readList(name, answer);
            // in this very moment: a pushed change may be the next message in the same chunk
            if (this.isOpen) this.cache.install(name, list);
            resolve(list);
          } catch (error) {
            reject(error);
            throw error;
          }
        },
        reject: (error) => {
          this.#underway.delete(name);
          reject(error);
        },
      });
      sent = true;
    });
    if (sent) this.#underway.set(name, request);
    return request;
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
    this.#patience.stop();
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
