/** Where an actor listens by default, and which host of this machine it binds. */
import type { Runtime } from "../actor/runtime.ts";
import { socketDir } from "../discovery/registry-files.ts";
import { AddressError, systemCode } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { type Address, formatAddress, parseAddress, type Transport } from "../transport/address.ts";
import { ipVersion, isLoopback, isWildcard } from "../transport/host.ts";
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

/** The first host that is a specific IP address other than loopback; 127.0.0.1 if there is none. */
export function reachableHost(hosts: readonly string[]): string {
  return (
    hosts.find((host) => host !== "" && !isLoopback(host) && !isWildcard(host) && ipVersion(host) !== 0) ??
    "127.0.0.1"
  );
}
