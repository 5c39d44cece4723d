/** A process that looks, watches and calls, without an actor of its own. */
import type { ActorStats } from "../actor/actor.ts";
import { reserveRuntime, setRuntime } from "../actor/current.ts";
import { Runtime } from "../actor/runtime.ts";
import { readSecurity, type Security } from "../actor/security.ts";
import { Deadline } from "../deadline.ts";
import { asError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { fitToDescriptors, type Limits, resolveLimits } from "../limits.ts";
import type { Address, AddressInput } from "../transport/address.ts";
import { maxDescriptors } from "../transport/descriptors.ts";
import { hostId } from "../transport/host.ts";
import { refuseUnguarded } from "./modules.ts";
import {
  checkExposed,
  impliedTransports,
  readRegistryAddrs,
  registryAddrsOfEnvironment,
} from "./root-options.ts";

/** How long to wait for a registrar that is there and doesn't answer, unless `timeout` says otherwise. */
const openTimeoutMs = 5_000;

export interface ClientOptions {
  /** Where to look for registrars; default `$FURROW_REGISTRY_ADDRS`, else port 1616 on this host, over any transport. */
  readonly registryAddrs?: readonly AddressInput[];
  /** How the client proves its identity. A `policy` has no effect: others may do nothing in a client. */
  readonly security?: Security;
  readonly limits?: Partial<Limits>;
  /** Aborts the opening; later closes the client. */
  readonly signal?: AbortSignal;
  /** Milliseconds to wait for a registrar that is there and doesn't answer, or is just being elected; default 5,000. */
  readonly timeout?: number;
}

/** This process's access to the actors of a registry. All functions that look up names work while it is open. */
export interface Client extends AsyncDisposable {
  /** What the actors that it calls see as `caller`. No lookup finds it. */
  readonly id: ActorId;
  /** The addresses where it looks for registrars. */
  readonly registryAddrs: readonly Address[];
  /** Aborted when the client begins to close. */
  readonly signal: AbortSignal;
  stats(): ActorStats;
  /** Ends its lookups, watches and calls, and closes its connections. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens a client: this process can look up, watch and call actors, and is nobody itself. It doesn't listen, isn't
 * registered, is never found, and never becomes the registrar. When its registrar ends, it goes on with the next one.
 *
 * @throws {RegistryUnavailableError} when no registrar answers; the message gives the addresses and the reason for each
 * @throws {RuntimeExistsError} when this process has an actor or another client
 * @throws {UnauthenticatedError} when a registrar and the client don't accept each other's proof of identity
 * @throws {AddressError | LimitError | TypeError | RangeError} when an option is malformed
 */
export async function openClient(options: ClientOptions = {}): Promise<Client> {
  const { signal, timeout = openTimeoutMs } = options;
  refuseUnguarded("open a client");
  signal?.throwIfAborted();
  const deadline = new Deadline({ timeout, signal }, "opening of a client");
  const registryAddrs = clientRegistryAddrs(options.registryAddrs);
  const security = readSecurity({ ...options.security, policy: noPermissions });
  checkExposed(registryAddrs, security.credentials);
  const limits = fitToDescriptors(resolveLimits(options.limits), maxDescriptors());
  reserveRuntime();
  const id: ActorId = { name: "client", uuid: crypto.randomUUID(), pid: process.pid, host: hostId() };
  const runtime = new Runtime(id, limits, false, { security, isClient: true });
  const { Visitor } = loadVisitor();
  try {
    await new Visitor(runtime, registryAddrs).arrive(deadline);
    signal?.throwIfAborted();
  } catch (error) {
    await runtime.cancel();
    setRuntime(undefined);
    throw error;
  }
  setRuntime(runtime);
  const onAbort = (): void => void runtime.cancel(asError(signal?.reason));
  signal?.addEventListener("abort", onAbort, { once: true });
  runtime.ending.onEnded(() => {
    signal?.removeEventListener("abort", onAbort);
    setRuntime(undefined);
  });
  return new ProcessClient(runtime);
}

/**
 * Where a client looks for registrars: the option or the environment, else the default address; if the registrar there
 * serves other addresses only, those.
 *
 * @throws {AddressError} when an address is malformed, or the runtime directory can't be used
 */
export function clientRegistryAddrs(option: readonly AddressInput[] | undefined): readonly Address[] {
  const addrs = readRegistryAddrs(option, impliedTransports({ ...(option && { registryAddrs: option }) }));
  const isDefault = option === undefined && registryAddrsOfEnvironment().length === 0;
  return (isDefault ? loadVisitor().servedInstead(addrs) : undefined) ?? addrs;
}

/** Actors never need this file. */
function loadVisitor(): typeof import("../discovery/visitor.ts") {
  return require("../discovery/visitor.ts") as typeof import("../discovery/visitor.ts");
}

/** It has nothing to call, stop or register with. */
const noPermissions = [{ from: "*", call: [], stop: false, register: [] }] as const;

class ProcessClient implements Client {
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  get id(): ActorId {
    return this.#runtime.id;
  }

  get registryAddrs(): readonly Address[] {
    return this.#runtime.registryAddrs;
  }

  get signal(): AbortSignal {
    return this.#runtime.signal;
  }

  stats(): ActorStats {
    return this.#runtime.stats();
  }

  async close(): Promise<void> {
    await this.#runtime.cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
