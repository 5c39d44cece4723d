/** What `queryActor` gives. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { Instance } from "./instance.ts";
import { registrationOf } from "./registration.ts";
import { Session } from "../rpc/session.ts";
import type { Registries } from "./registries.ts";
import type { Instances } from "./cache.ts";
import { cached, type RegistryPortal, registryPortal } from "./ask.ts";

/** What `queryActor` found. Dispose it to let go of the registrar's portal. */
export interface QueryResult extends AsyncDisposable {
  /** The best address of the last registered instance, or null when there is none that can be dialled from here. */
  readonly addr: Address | null;
  readonly id: ActorId | null;
  /** The portal that was asked; null when no registrar was. */
  readonly registry: RegistryPortal | null;
}

/** An address that was found, and who was asked for it: its portal is made when somebody wants it. */
export class AddressResult implements QueryResult {
  readonly addr: Address | null;
  readonly id: ActorId | null;
  readonly #asked: Session | RegistryPortal | null;
  #registry: RegistryPortal | null | undefined;
  #disposed = false;

  constructor(addr: Address | null, id: ActorId | null, asked: Session | RegistryPortal | null) {
    this.addr = addr;
    this.id = id;
    this.#asked = asked;
  }

  get registry(): RegistryPortal | null {
    if (this.#registry === undefined) {
      this.#registry = this.#asked instanceof Session ? registryPortal(this.#asked) : this.#asked;
      // asked for too late: it must not hold the connection
      if (this.#disposed) void this.#registry?.[Symbol.asyncDispose]();
    }
    return this.#registry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const portal = this.#asked instanceof Session ? this.#registry : this.#asked;
    if (portal) await portal[Symbol.asyncDispose]();
  }
}

export function resultOf(instances: Instances, asked: Session | RegistryPortal | null): QueryResult {
  const last = instances[instances.length - 1];
  return new AddressResult(last?.best ?? null, last?.id ?? null, asked);
}

/** The answer from memory, or undefined when somebody must be asked. */
export function queryKnown(registries: Registries, name: string): QueryResult | undefined {
  const { service } = registries;
  if (service !== undefined) {
    const entry = service.table.last(name);
    if (entry === undefined) return undefined;
    const { id, addrs } = registrationOf(entry, registries.runtime.id.host);
    return resultOf([new Instance(id, addrs)], registries.localPortal);
  }
  const known = cached(registries, name);
  return known === undefined ? undefined : resultOf(known, null);
}
