/** Watches a name: what is registered now, and a promise for the next change, wherever that comes from. */
import { TimeoutError } from "../errors.ts";
import type { Address } from "../transport/address.ts";
import { known } from "./known.ts";
import type { Lookup } from "./lookup.ts";
import type { Question } from "./question.ts";
import { askOnce, type RegistrarLink } from "./registrar-link.ts";
import { type Found, foundOf } from "./registration.ts";
import { registryAt, type RegistryPortal } from "./registry.ts";

/** How long to leave alone what gives no notice of changes: actors that refuse, a registrar without room for the interest. */
const retryMs = 500;

/** One watch, over after the first change. Dispose it to stop watching. */
export class Watch implements Disposable {
  readonly #lookup: Lookup;
  readonly #change = Promise.withResolvers<void>();
  readonly #undo: (() => void)[] = [];

  /** Watches for the end of the actor at once; for changes of the name from `start` on. */
  constructor(lookup: Lookup) {
    this.#lookup = lookup;
    const { signal } = lookup.runtime;
    signal.addEventListener("abort", this.#onChange, { once: true });
    this.#undo.push(() => signal.removeEventListener("abort", this.#onChange));
  }

  /** Resolves at the first change. It may come early: look again. */
  get changed(): Promise<void> {
    return this.#change.promise;
  }

  readonly #onChange = (): void => this.#change.resolve();

  /** Counts as a change after a while, for want of a notice. */
  wakeSoon(): void {
    const timer = setTimeout(this.#onChange, retryMs);
    this.#undo.push(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
  }

  /** Begins to watch the name; resolves to the registrations that it has now. */
  async start(): Promise<Found> {
    const { name, registrars, registryAddrs, deadline } = this.#lookup;
    const addr = registryAddrs?.[0];
    if (addr !== undefined) return await this.#startAt(addr);
    const { service, links, changed } = registrars;
    if (service !== undefined) {
      this.#undo.push(service.watch(name, this.#onChange));
      return known(registrars, name) ?? [];
    }
    void changed.then(this.#onChange);
    if (links.length === 0) return [];
    const asked = links.map((link) => this.#ask(link));
    // one answer is enough to go on with; a later one counts as a change
    const first = await deadline.race(
      "wait",
      Promise.race([Promise.any(asked), changed]).catch(() => undefined),
    );
    for (const one of asked)
      one.then(
        (link) => link === first || this.#onChange(),
        // a silent registrar is asked again; the loss of one resolves `changed`
        (error: unknown) => error instanceof TimeoutError && this.#onChange(),
      );
    // the first may have answered without its cache keeping the name
    const answered = links.filter((link) => link === first || link.cache.has(name));
    return answered.flatMap((link) => this.#watchCache(link));
  }

  /** As `start`, with the registrar at `addr`. If this actor isn't linked to it, that registrar does the waiting. */
  async #startAt(addr: Address): Promise<Found> {
    const { name, record, registrars, bounds, deadline } = this.#lookup;
    const question = record.ask(addr);
    const registry = await registryAt(registrars, addr, deadline);
    try {
      const link = registrars.linkOf(registry.id.uuid);
      if (link !== undefined) {
        await deadline.race("wait", this.#ask(link, question));
        return this.#watchCache(link);
      }
      question.answered([], registry === registrars.localPortal ? "table" : "registrar");
      const waiting = new AbortController();
      this.#undo.push(() => waiting.abort());
      const signal =
        bounds.signal === undefined ? waiting.signal : AbortSignal.any([waiting.signal, bounds.signal]);
      const waited = registry.with({ signal }).run;
      const found = await deadline.race("wait", waited.waitForActor(name));
      // that one may be out of reach: try all that are there now
      const others = await deadline.race("wait", this.#presentAt(registry));
      question.found = others.length > 0 ? others : [foundOf(found)];
      return question.found;
    } finally {
      await registry[Symbol.asyncDispose]();
    }
  }

  /** Those that are there now: who waits for any instance doesn't wait until a new registrar has all of them back. */
  async #presentAt(registry: RegistryPortal): Promise<Found> {
    const { name, registrars } = this.#lookup;
    if (registry === registrars.localPortal) return known(registrars, name) ?? [];
    const session = registrars.runtime.peers.get(registry.id.uuid)?.handler;
    return session === undefined ? [] : await askOnce(session, name, registrars.counters);
  }

  /** Has the link's cache keep the name. Only a question that has to be sent is recorded, or one that is given. */
  async #ask(link: RegistrarLink, given?: Question): Promise<RegistrarLink> {
    const answer = link.lookup(this.#lookup.name);
    if (!(answer instanceof Promise)) {
      given?.answered(answer, "cache");
      return link;
    }
    const question = given ?? this.#lookup.record.ask(link);
    try {
      question.answered(await answer);
    } catch (error) {
      question.failed(error);
      throw error;
    }
    return link;
  }

  /** Reads the cache and watches it in one step: no change can come in between. */
  #watchCache(link: RegistrarLink): Found {
    const { name } = this.#lookup;
    const found = link.cache.get(name);
    if (found === undefined) {
      // a registrar without room for the interest pushes no changes
      this.wakeSoon();
      return [];
    }
    this.#undo.push(link.cache.watch(name, this.#onChange));
    return found;
  }
}
