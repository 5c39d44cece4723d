/** What `queryActor` gives. */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { Instance } from "./instance.ts";
import { registrationOf } from "./registration.ts";
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

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.registry?.[Symbol.asyncDispose]());
  }
}

/** The answer from memory, or undefined when somebody must be asked. */
export function queryKnown(registries: Registries, name: string): QueryResult | undefined {
  const { service } = registries;
  if (service !== undefined) {
    const entry = service.table.last(name);
    if (entry === undefined) return undefined;
    const found = new Instance(registrationOf(entry, registries.runtime.id.host));
    return new AddressResult(found.best, found.id, registries.localPortal);
  }
  const known = cached(registries, name);
  if (known === undefined) return undefined;
  const last = known[known.length - 1];
  return new AddressResult(last?.best ?? null, last?.id ?? null, null);
}
