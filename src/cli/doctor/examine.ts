/** Everything that the doctor looks at. */
import { readSecurity, type Security } from "../../actor/security.ts";
import { getRegistry } from "../../discovery/registry.ts";
import type { Registration } from "../../discovery/registration.ts";
import { socketDirs } from "../../discovery/registry-files.ts";
import { asError, RuntimeExistsError } from "../../errors.ts";
import { type Limits, resolveLimits } from "../../limits.ts";
import { type Address, type AddressInput, normalizeAddress } from "../../transport/address.ts";
import { hostId } from "../../transport/host.ts";
import { clientRegistryAddrs, openClient } from "../../tree/client.ts";
import { registryAddrsOfEnvironment } from "../../tree/root-options.ts";
import { findDescriptors } from "./descriptors.ts";
import type { Finding } from "./finding.ts";
import { findFrozenActors } from "./frozen-actors.ts";
import { findPermissionFaults } from "./permissions.ts";
import { examineAddresses, type ExaminedAddress } from "./registry-addresses.ts";
import { findSharedMemory } from "./shared-memory.ts";
import { findStaleSockets } from "./stale-sockets.ts";
import { findStoreFault } from "./store.ts";
import { findVersions } from "./versions.ts";

/** Longer than a new registrar waits for those that are on their way back. */
const listTimeoutMs = 5_000;

export interface ExamineOptions {
  readonly registryAddrs?: readonly AddressInput[] | undefined;
  readonly security?: Security;
  readonly limits?: Partial<Limits>;
  readonly signal?: AbortSignal;
}

export interface Examination {
  readonly addresses: readonly ExaminedAddress[];
  /** What the registrars that answer list, each actor once. */
  readonly actors: readonly Registration[];
  /** Errors first. */
  readonly findings: readonly Finding[];
}

/**
 * Looks for what is wrong at the registry addresses, in the directories of their sockets, with the registered actors, and
 * with this host's limits. It creates the runtime directory if it is missing, and changes nothing else. The process
 * mustn't have an actor or a client, since this opens a client if a registrar answers.
 *
 * @throws {AddressError | LimitError | TypeError} when an option is malformed
 * @throws {RuntimeExistsError} when the process has an actor or a client
 */
export async function examine(options: ExamineOptions = {}): Promise<Examination> {
  const { signal } = options;
  const limits = resolveLimits(options.limits);
  const security = readSecurity(options.security);
  const given = (options.registryAddrs ?? registryAddrsOfEnvironment()).map(normalizeAddress);
  // first: reading the default addresses creates the runtime directory, or mends its mode
  const permissions = findPermissionFaults(given, process.env);
  let addrs: readonly Address[];
  try {
    addrs = clientRegistryAddrs(options.registryAddrs);
  } catch (error) {
    if (permissions.length === 0) throw error;
    return { addresses: [], actors: [], findings: permissions };
  }
  const files = findStaleSockets(socketDirs(addrs));
  const { addresses, findings: faults } = await examineAddresses(addrs, security, signal, limits);
  const { actors, findings: unread } = await listActors(addresses, options);
  const here = [
    { name: "this process", pid: process.pid },
    ...actors.filter(({ id }) => id.host === hostId()).map(({ id }) => ({ name: id.name, pid: id.pid })),
  ];
  const findings = [
    ...faults,
    ...unread,
    ...permissions,
    ...findFrozenActors(here),
    ...findDescriptors(here),
    ...findVersions(actors),
    ...files,
    ...findSharedMemory(),
  ];
  return { addresses, actors, findings: findings.toSorted(bySeverity) };
}

async function listActors(
  addresses: readonly ExaminedAddress[],
  options: ExamineOptions,
): Promise<{ readonly actors: readonly Registration[]; readonly findings: readonly Finding[] }> {
  const answering = addresses.filter(({ state }) => state === "registrar").map(({ addr }) => addr);
  if (answering.length === 0) return { actors: [], findings: [] };
  const { security, limits, signal } = options;
  const byUuid = new Map<string, Registration>();
  const findings: Finding[] = [];
  for (const addr of answering) {
    try {
      await using _ = await openClient({
        registryAddrs: [addr],
        ...(security && { security }),
        ...(limits && { limits }),
        ...(signal && { signal }),
      });
      await using registry = await getRegistry();
      const { run } = registry.with({ timeout: listTimeoutMs, ...(signal && { signal }) });
      for (const actor of await run.listActors()) byUuid.set(actor.id.uuid, actor);
      findings.push(...(await findStoreFault(addr)));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof RuntimeExistsError) throw error;
      findings.push(unreadable(addr, asError(error)));
    }
  }
  return { actors: Array.from(byUuid.values()), findings };
}

function unreadable(addr: Address, error: Error): Finding {
  return {
    code: "registry-silent",
    level: "error",
    what: `the registrar answers, but doesn't list its actors: ${error.message}`,
    which: addr,
    whatToDo: "try again; if that doesn't help, restart its program, and another root takes over",
  };
}

function bySeverity(a: Finding, b: Finding): number {
  return Number(a.level === "warning") - Number(b.level === "warning");
}
