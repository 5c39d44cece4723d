/** `waitForActor`: waiting until a name is registered. */
import { RemotePortal } from "../rpc/portal.ts";
import type { Portal } from "../rpc/types.ts";
import { connectedPeer } from "./connected.ts";
import { isKnown } from "./known.ts";
import { Lookup, type WaitOptions } from "./lookup.ts";
import { reachFirst } from "./reach.ts";
import { Watch } from "./watch.ts";

/**
 * Waits until an actor of that name is registered, and connects to the first that was. It waits without a limit of its
 * own: pass `timeout` or `signal`.
 *
 * @throws {TimeoutError} when `timeout` passes, with stage "wait" while there was none
 * @throws {RegistryUnavailableError} when the registrar at `registryAddr` can't be asked
 */
export async function waitForActor<M = unknown>(name: string, options: WaitOptions = {}): Promise<Portal<M>> {
  const lookup = Lookup.at(name, options);
  const { signal } = lookup.runtime;
  try {
    for (;;) {
      signal.throwIfAborted();
      using watch = new Watch(lookup);
      const peer = connectedPeer(lookup);
      if (peer !== undefined && !isKnown(lookup.registrars, name))
        return new RemotePortal<M>(peer.acquire().handler);
      lookup.recorded?.again();
      const found = await watch.start();
      lookup.consider(found);
      const portal = await reachFirst<M>(lookup, found);
      if (portal !== undefined) return portal;
      // those that are registered but refuse may only be busy: try them again after a while
      if (found.length > 0) watch.wakeSoon();
      await lookup.deadline.race("wait", watch.changed);
    }
  } catch (error) {
    throw lookup.reported(error);
  }
}
