/** Where an actor listens by default, and which host of this machine it binds. */
import type { Runtime } from "../actor/runtime.ts";
import { socketDir } from "../discovery/registry-files.ts";
import { AddressError, systemCode } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { type Address, formatAddress, parseAddress, type Transport } from "../transport/address.ts";
import { interfaceAddresses, ipVersion, isLoopback, isWildcard } from "../transport/host.ts";
import { socketPath } from "../transport/socket-paths.ts";

/**
 * Binds the addresses of an actor other than a registrar: exactly `bindAddrs`, or if that's empty, one fresh address
 * for each transport: a socket file beside the registry's, and a port on `tcpHost`.
 *
 * @throws {AddressError} when an address can't be bound
 */
export async function bindFresh(
  runtime: Runtime,
  transports: readonly Transport[],
  bindAddrs: readonly Address[],
  tcpHost: string,
): Promise<void> {
  for (const addr of bindAddrs) await runtime.listeners.bind(addr);
  if (bindAddrs.length > 0) return;
  for (const transport of transports) {
    if (transport === "unix") await bindFreshSocket(runtime);
    else await runtime.listeners.bind(formatAddress({ transport, host: tcpHost, port: 0 }));
  }
}

/**
 * Tries several paths: in another pid namespace that shares the directory, a process can have the same name and pid.
 */
async function bindFreshSocket(runtime: Runtime): Promise<void> {
  const paths = freshSocketPaths(runtime.registryAddrs, runtime.id);
  for (const [at, path] of paths.entries()) {
    try {
      await runtime.listeners.bind(`unix://${path}`);
      return;
    } catch (error) {
      const isTaken = error instanceof AddressError && systemCode(error.cause) === "EADDRINUSE";
      if (!isTaken || at === paths.length - 1) throw error;
    }
  }
}

/**
 * The socket paths that an actor listens on by default, in the order to try them: beside the registry's socket file, if
 * that is in a directory of ours.
 */
export function freshSocketPaths(
  registryAddrs: readonly Address[],
  { name, uuid, pid }: Pick<ActorId, "name" | "uuid" | "pid">,
): readonly string[] {
  const dir = socketDir(registryAddrs);
  return [socketPath(dir, name, pid), socketPath(dir, uuid, pid)];
}

/** The hosts of the tcp addresses in `addrs`. */
export function hostsOf(addrs: readonly Address[]): string[] {
  return addrs.map(parseAddress).flatMap((parsed) => (parsed.transport === "tcp" ? [parsed.host] : []));
}

/**
 * The host of this machine on which an actor binds a fresh port, so that all who come to its registrars reach it:
 * `localHosts` are the addresses of this machine on the way to them. A registrar that was found at its socket may serve
 * other hosts, too: then it is the one on which that listens.
 */
export function freshHost(localHosts: readonly string[], registryAddrs: readonly Address[]): string {
  const registry = hostsOf(registryAddrs);
  return (
    localHosts.find(isSpecific) ??
    ownHost(registry.filter(isSpecific)) ??
    registry.find(isWildcard) ??
    "127.0.0.1"
  );
}

/** The first host that isn't loopback: children of an actor that listens there listen there, too. */
export function openHost(hosts: readonly string[]): string | undefined {
  return hosts.find((host) => !isLoopback(host));
}

/** Whether it is an address of one interface that other hosts may reach. */
function isSpecific(host: string): boolean {
  return host !== "" && !isLoopback(host) && !isWildcard(host) && ipVersion(host) !== 0;
}

function ownHost(hosts: readonly string[]): string | undefined {
  if (hosts.length === 0) return undefined;
  const own = interfaceAddresses();
  return hosts.find((host) => own.has(host));
}
