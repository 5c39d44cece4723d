/** Where the files of a registry are: its actors' sockets, its lock, and its roster. */
import { type Address, parseAddress } from "../transport/address.ts";
import { isLoopback, isWildcard } from "../transport/host.ts";
import { folderOf, pathIn } from "../transport/paths.ts";
import { lockFile } from "../transport/socket-lock.ts";
import { isOwnDirectory, registrySocketPath } from "../transport/socket-paths.ts";

/** The directory for new sockets: that of the registry's socket if this user owns it, else the runtime directory. */
export function socketDir(registryAddrs: readonly Address[]): string {
  for (const addr of registryAddrs) {
    const parsed = parseAddress(addr);
    if (parsed.transport === "unix") return besideOrRuntime(parsed.path);
  }
  return runtimeDir();
}

/** All directories where actors of these registries have sockets. */
export function socketDirs(registryAddrs: readonly Address[]): Set<string> {
  const dirs = new Set([runtimeDir()]);
  for (const addr of registryAddrs) {
    const parsed = parseAddress(addr);
    if (parsed.transport === "unix") dirs.add(besideOrRuntime(parsed.path));
  }
  return dirs;
}

/**
 * The lock file that the registrar at `addr` holds: its socket's own, or for a port of this host that of the default
 * socket for the port, so that programs with different transports find each other. Undefined where there is none.
 *
 * @throws {AddressError} when the runtime directory can't be used
 */
export function registryLock(addr: Address): string | undefined {
  const parsed = parseAddress(addr);
  if (parsed.transport === "unix") return lockFile(parsed.path);
  return isHere(parsed.host) && parsed.port !== 0
    ? lockFile(registrySocketPath(runtimeDir(), parsed.port))
    : undefined;
}

/**
 * The roster of the registry at `addr`: the file whose lock all its members on this host share.
 *
 * @throws {AddressError} when the runtime directory can't be used
 */
export function rosterFile(addr: Address): string {
  const parsed = parseAddress(addr);
  const isUnix = parsed.transport === "unix";
  const dir = isUnix ? besideOrRuntime(parsed.path) : runtimeDir();
  const key = isUnix ? `unix:${parsed.path}` : `tcp:${isHere(parsed.host) ? "" : parsed.host}:${parsed.port}`;
  const hash = new Bun.CryptoHasher("sha256").update(key).digest("hex").slice(0, 12);
  return pathIn(dir, `registry-${hash}.members`);
}

/** Whether only actors of this host can register there. */
export function isOfThisHost(addr: Address): boolean {
  const parsed = parseAddress(addr);
  return parsed.transport === "unix" || isLoopback(parsed.host);
}

function isHere(host: string): boolean {
  return isLoopback(host) || isWildcard(host);
}

function besideOrRuntime(path: string): string {
  const beside = folderOf(path);
  return isOwnDirectory(beside) ? beside : runtimeDir();
}

/** A child needs the file only if its registry's socket is elsewhere, or its registry has none (row `spawn`). */
function runtimeDir(): string {
  const { runtimeDir: find } =
    require("../transport/runtime-dir.ts") as typeof import("../transport/runtime-dir.ts");
  return find();
}
