/** Where an actor listens that isn't told, and on which host of this machine. */
import type { Runtime } from "../actor/runtime.ts";
import { socketDir } from "../discovery/places.ts";
import { AddressError, systemCode } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { type Address, formatAddress, parseAddress, type Transport } from "../transport/address.ts";
import { ipVersion, isLoopback, isWildcard } from "../transport/host.ts";
import { socketPath } from "../transport/runtime-dir.ts";

/**
 * Binds where an actor that is no registrar listens: exactly `bindAddrs`, or one fresh address for each transport: a
 * socket file beside the registry's, a port on `tcpHost`.
 *
 * @throws {AddressError} when one cannot be bound
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

/** Another process may have that name and that pid: in a pid namespace that shares the directory. */
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
 * Where an actor listens that is told nothing, in the order of trying: beside the registry's socket file if that is in a
 * directory of ours.
 */
export function freshSocketPaths(
  registryAddrs: readonly Address[],
  { name, uuid, pid }: Pick<ActorId, "name" | "uuid" | "pid">,
): readonly string[] {
  const dir = socketDir(registryAddrs);
  return [socketPath(dir, name, pid), socketPath(dir, uuid, pid)];
}

/** The hosts of the tcp addresses among them. */
export function hostsOf(addrs: readonly Address[]): string[] {
  return addrs.map(parseAddress).flatMap((parsed) => (parsed.transport === "tcp" ? [parsed.host] : []));
}

/** The first that is an address of this machine in a network; loopback when there is none. */
export function reachableHost(hosts: readonly string[]): string {
  return (
    hosts.find((host) => host !== "" && !isLoopback(host) && !isWildcard(host) && ipVersion(host) !== 0) ??
    "127.0.0.1"
  );
}
