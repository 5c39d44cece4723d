import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";

/**
 * How busy an actor is, as far as this process knows: the calls, streams and dialogs that it has in flight to it, and
 * those of others if the actor reports them here, as it does to a service that asks for the least busy instance.
 */
export function loadOf(runtime: Runtime, { uuid }: ActorId): number {
  return runtime.callsTo(uuid) + (runtime.peers.get(uuid)?.handler.othersLoad ?? 0);
}
