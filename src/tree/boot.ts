/** What a root and a child have in common when they start: options read, addresses bound. */
import type { Runtime } from "../actor/runtime.ts";
import { AddressError, systemCode } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import {
  type Address,
  type AddressInput,
  formatAddress,
  normalizeAddress,
  parseAddress,
  type Transport,
} from "../transport/address.ts";
import { socketDir } from "../discovery/places.ts";
import { registrySocketPath, runtimeDir, socketPath } from "../transport/runtime-dir.ts";

const defaultRegistryPort = 1616;

/**
 * The transports that a root enables when it is not told: unix, where the kernel says who is at the other end, and
 * those of the addresses that it is given.
 *
 * @throws {AddressError} when an address is malformed
 */
export function impliedTransports(given: readonly AddressInput[]): readonly Transport[] {
  return Array.from(new Set(["unix" as const, ...given.map((addr) => parseAddress(addr).transport)]));
}

/** The addresses of `$FURROW_REGISTRY_ADDRS`. */
export function registryAddrsOfEnvironment(): readonly AddressInput[] {
  const listed = (process.env["FURROW_REGISTRY_ADDRS"] ?? "").split(",").map((part) => part.trim());
  return listed.filter((part) => part !== "") as AddressInput[];
}

/**
 * Addresses of an option, in URL spelling, each once.
 *
 * @throws {AddressError} when one is malformed, or of a transport that is not enabled
 */
export function readAddressOption(
  option: string,
  inputs: readonly AddressInput[],
  transports: readonly Transport[],
): readonly Address[] {
  return Array.from(new Set(inputs.map(normalizeAddress)), (addr) => {
    const { transport } = parseAddress(addr);
    if (transports.includes(transport)) return addr;
    throw new AddressError(
      `${option} has ${addr}, but enableTransports is ${JSON.stringify(transports)}: enable ${transport}, or drop the address`,
    );
  });
}

/** The registry addresses: the option, else `$FURROW_REGISTRY_ADDRS`, else port 1616 on each enabled transport. */
export function readRegistryAddrs(
  option: readonly AddressInput[] | undefined,
  transports: readonly Transport[],
): readonly Address[] {
  if (option !== undefined) {
    if (option.length === 0)
      throw new AddressError("registryAddrs must not be empty; leave it out for the defaults");
    return readAddressOption("registryAddrs", option, transports);
  }
  const fromEnv = registryAddrsOfEnvironment();
  if (fromEnv.length > 0) return readAddressOption("FURROW_REGISTRY_ADDRS", fromEnv, transports);
  return transports.map((transport): Address =>
    transport === "tcp"
      ? `tcp://127.0.0.1:${defaultRegistryPort}`
      : `unix://${registrySocketPath(runtimeDir(), defaultRegistryPort)}`,
  );
}

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
