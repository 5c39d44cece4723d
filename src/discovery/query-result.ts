/** What `queryActor` gives. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { dialOrder, type Registration, registrationOf } from "./registration.ts";
import type { Registries } from "./registries.ts";
import { cached, type RegistryPortal } from "./ask.ts";

/** What `queryActor` found. Dispose it to let go of the registrar's portal. */
export interface QueryResult extends AsyncDisposable {
  /** The best address of the last registered instance, or null when there is none that can be dialled from here. */
  readonly addr: Address | null;
  readonly id: ActorId | null;
  /** The portal that was asked; null when no registrar was. */
  readonly registry: RegistryPortal | null;
}

/** An address that was found, and the portal that was asked for it. */
export class AddressResult implements QueryResult {
  readonly addr: Address | null;
  readonly id: ActorId | null;
  readonly registry: RegistryPortal | null;

  constructor(addr: Address | null, id: ActorId | null, registry: RegistryPortal | null) {
    this.addr = addr;
    this.id = id;
    this.registry = registry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry?.[Symbol.asyncDispose]();
  }
}

/** The answer from memory, or undefined when somebody must be asked. */
export function queryKnown(registries: Registries, name: string): QueryResult | undefined {
  const { service } = registries;
  if (service !== undefined) {
    const entry = service.table.last(name);
    if (entry === undefined) return undefined;
    const found = registrationOf(entry, registries.runtime.id.host);
    return new AddressResult(bestAddress(found), found.id, registries.localPortal);
  }
  const known = cached(registries, name);
  if (known === undefined) return undefined;
  const last = known[known.length - 1];
  return new AddressResult(last === undefined ? null : bestAddress(last), last?.id ?? null, null);
}

/** The best address of a registration; remembered, since a cached one is asked again and again. */
export function bestAddress(registration: Registration): Address | null {
  let best = bestAddresses.get(registration);
  if (best === undefined) bestAddresses.set(registration, (best = dialOrder(registration)[0] ?? null));
  return best;
}

const bestAddresses = new WeakMap<Registration, Address | null>();
