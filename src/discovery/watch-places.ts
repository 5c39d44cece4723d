/** Which registrars a watch asks, as they come and go: this actor's own, or the one that serves an address. */
import { Deadline, sleep } from "../deadline.ts";
import { asError, RegistryUnavailableError } from "../errors.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { RegistrarLink, registryPatienceMs } from "./registrar-link.ts";
import type { RegistrarService } from "./registrar.ts";
import type { Registrars } from "./registrars.ts";
import { reachRegistrar } from "./registry.ts";

const log = logger("discovery");

/** How long to leave an address alone at which no registrar answers any more. With jitter. */
const retryMs = 200;

/** This actor's own table, or the connection to another registrar. */
export type WatchPlace = RegistrarService | Session;

/** What a watch does with them. */
export interface PlacesListener {
  /** These are the registrars now. */
  onPlaces(places: readonly WatchPlace[]): void;
  /** There can be none. */
  onError(error: Error): void;
}

/** Follows this actor's registrars, from now on. Returns a function that ends that. */
export function followRegistrars(registrars: Registrars, listener: PlacesListener): () => void {
  const look = (): void => {
    const { service, links } = registrars;
    // as for lookups: a registrar asks itself alone
    listener.onPlaces(service === undefined ? links.map(({ session }) => session) : [service]);
  };
  const stop = registrars.watchChanges(look);
  look();
  return stop;
}

/**
 * Follows the registrar that serves `addr`: when it is lost, until there is another. It fails only when there is none to
 * begin with. Returns a function that ends that.
 */
export function followAddress(registrars: Registrars, addr: Address, listener: PlacesListener): () => void {
  const stop = new AbortController();
  outsideTasks(() => new AddressFollower(registrars, addr, listener, stop.signal).run()).catch(
    (error: unknown) => {
      if (!stop.signal.aborted) listener.onError(asError(error));
    },
  );
  return () => stop.abort();
}

/** A registrar that was reached at the address. */
interface Reached {
  readonly place: WatchPlace;
  /** Undefined for this actor itself. */
  readonly session: Session | undefined;
  isThere(): boolean;
  release(): void;
}

class AddressFollower {
  readonly #registrars: Registrars;
  readonly #addr: Address;
  readonly #listener: PlacesListener;
  readonly #signal: AbortSignal;

  constructor(registrars: Registrars, addr: Address, listener: PlacesListener, signal: AbortSignal) {
    this.#registrars = registrars;
    this.#addr = addr;
    this.#listener = listener;
    this.#signal = signal;
  }

  /** Never returns. @throws as `reachRegistrar`, when no registrar is there to begin with; the signal's reason */
  async run(): Promise<never> {
    let reached = await this.#reach();
    for (;;) {
      try {
        this.#listener.onPlaces([reached.place]);
        await this.#untilLost(reached);
        this.#listener.onPlaces([]);
      } finally {
        reached.release();
      }
      reached = await this.#reachAgain();
    }
  }

  async #reach(): Promise<Reached> {
    const registrars = this.#registrars;
    const timeout = registryPatienceMs(registrars.runtime.limits);
    const deadline = new Deadline({ timeout, signal: this.#signal }, `watch at ${this.#addr}`);
    const registrar = await reachRegistrar(registrars, this.#addr, deadline);
    if (registrar === "self") {
      const { service } = registrars;
      if (service === undefined) throw new RegistryUnavailableError("this actor is no longer the registrar");
      return {
        place: service,
        session: undefined,
        isThere: () => registrars.service === service,
        release() {},
      };
    }
    if (registrar instanceof RegistrarLink) {
      const { session } = registrar;
      return { place: session, session, isThere: () => registrar.isOpen, release() {} };
    }
    return {
      place: registrar.handler,
      session: registrar.handler,
      isThere: () => registrar.isOpen && registrar.isRegistrar,
      release: () => registrar.release(),
    };
  }

  async #reachAgain(): Promise<Reached> {
    for (;;) {
      try {
        return await this.#reach();
      } catch (error) {
        this.#signal.throwIfAborted();
        log.debug?.(`watch: ${asError(error).message}`);
      }
      await sleep(retryMs * (0.5 + Math.random()), this.#signal);
    }
  }

  async #untilLost(reached: Reached): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (!reached.isThere()) resolve();
    };
    const onAbort = (): void => reject(asError(this.#signal.reason));
    const unwatch = [
      this.#registrars.watchChanges(look),
      this.#registrars.runtime.watchSessions((ended) => ended === reached.session && resolve()),
      () => this.#signal.removeEventListener("abort", onAbort),
    ];
    this.#signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.#signal.throwIfAborted();
      look();
      await promise;
    } finally {
      for (const undo of unwatch) undo();
    }
  }
}
