/** Asking registrars: the one that serves an address, those that are connected, several side by side. */
import { RefusedError } from "../channel/handshake.ts";
import type { Peer } from "../channel/peer.ts";
import type { Deadline } from "../deadline.ts";
import {
  asError,
  causeOf,
  LimitError,
  messagesOf,
  RegistryUnavailableError,
  TimeoutError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { LocalPortal } from "../rpc/portal.ts";
import { RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import type { Address } from "../transport/address.ts";
import type { RegistrarApi } from "./registration.ts";
import type { Instances } from "./cache.ts";
import type { RegistrarLink } from "./registrar-link.ts";
import type { Registries } from "./registries.ts";

export type RegistryPortal = Portal<RegistrarApi> | LocalPortal<RegistrarApi>;

/** What the coherent caches know of a name, or undefined when a registrar must be asked. A miss must be known to all. */
export function cached(registries: Registries, name: string): Instances | undefined {
  const only = registries.onlyLink;
  if (only !== undefined) {
    const known = only.cache.get(name);
    if (known !== undefined) registries.counters.hits++;
    return known;
  }
  const { links } = registries;
  let all = links.length > 0;
  for (const link of links) {
    const known = link.cache.get(name);
    if (known !== undefined && known.length > 0) {
      registries.counters.hits++;
      return known;
    }
    all &&= known !== undefined;
  }
  if (!all) return undefined;
  registries.counters.hits++;
  return [];
}

export function registryPortal(session: Session): Portal<RegistrarApi> {
  // of one that is gone: a portal that says so when it is used
  if (session.peer.isOpen) session.peer.acquire();
  return new RemotePortal<RegistrarApi>(session, "registrar.");
}

/** The registrar that serves `addr`, over the connection that is there or a new one. */
export async function registryAt(
  registries: Registries,
  addr: Address,
  deadline: Deadline,
): Promise<RegistryPortal> {
  const { runtime } = registries;
  if (registries.isRegistrar && runtime.addrs.includes(addr)) return registries.localPortal;
  const link = registries.linkTo(addr);
  if (link !== undefined) return registryPortal(link.session);
  let peer: Peer<Session>;
  try {
    peer = await outsideTasks(() => runtime.peers.connectTo(addr, deadline));
  } catch (error) {
    // another spelling of an address of its own
    if (registries.isRegistrar && isOwnRefusal(error)) return registries.localPortal;
    if (error instanceof TimeoutError || deadline.signal?.aborted) throw error;
    throw new RegistryUnavailableError(`no registrar answers at ${addr}: ${asError(error).message}`, {
      cause: error,
    });
  }
  if (peer.isRegistrar) return new RemotePortal<RegistrarApi>(peer.handler, "registrar.");
  peer.release();
  throw new RegistryUnavailableError(`${addr} is ${describeActor(peer.id)}, which is no registrar`);
}

/** The links to registrars, waiting for one while there is none; empty when this actor has become the registrar. */
export async function connectedLinks(
  registries: Registries,
  deadline: Deadline,
): Promise<readonly RegistrarLink[]> {
  for (;;) {
    if (registries.isRegistrar) return [];
    const { links, changed } = registries;
    if (links.length > 0) return links;
    try {
      await deadline.race("lookup", changed);
    } catch (error) {
      if (error instanceof TimeoutError) throw registries.unavailable(registries.faults);
      throw error;
    }
  }
}

export function isOwnRefusal(error: unknown): boolean {
  return error instanceof RefusedError && error.refusal === "self" && error.uuid !== undefined;
}

/**
 * Several registrars' answers as one. One that is down or silent does not fail it, and is noted in `faults`; all of them
 * do.
 *
 * @throws {RegistryUnavailableError} when none answered; `cause` says why each
 * @throws {TimeoutError} when the only one asked is silent
 * @throws {LimitError} when the only one asked has an answer that is too large
 */
export async function askAll(
  questions: readonly Promise<Instances>[],
  deadline: Deadline,
  enough: (found: Instances) => boolean,
  faults: Error[],
): Promise<Instances> {
  const answers: Instances[] = [];
  const failures: Error[] = [];
  const early = Promise.withResolvers<void>();
  const all = Promise.all(
    questions.map(async (question) => {
      try {
        const found = await question;
        answers.push(found);
        if (enough(found)) early.resolve();
      } catch (error) {
        failures.push(asError(error));
      }
    }),
  );
  try {
    await deadline.race("lookup", Promise.race([all, early.promise]));
  } catch (error) {
    if (!(error instanceof TimeoutError) || questions.length === 1) throw error;
    failures.push(error);
  }
  if (answers.length > 0) {
    faults.push(...failures);
    return answers.find(enough) ?? answers.flat();
  }
  const [only] = failures;
  if (questions.length === 1) {
    // it has answered, or is known to be silent
    if (
      only instanceof TimeoutError ||
      only instanceof RegistryUnavailableError ||
      only instanceof LimitError
    )
      throw only;
  }
  throw new RegistryUnavailableError(`no registrar answered: ${messagesOf(failures)}`, {
    cause: causeOf(failures),
  });
}
