/** The identity of this machine and its network addresses. */
import { readlinkSync, readTextSync } from "./files.ts";

let known: string | undefined;

/**
 * 16 hex digits that identify this machine, network namespace and mount namespace: a hash of the boot id and both
 * namespaces. Two actors with the same host id can reach each other's socket files and loopback.
 */
export function hostId(): string {
  known ??= new Bun.CryptoHasher("sha256").update(fingerprint()).digest("hex").slice(0, 16);
  return known;
}

function fingerprint(): string {
  if (process.platform !== "linux") return `${process.platform} ${loadOs().hostname()}`;
  const bootId = readTextSync("/proc/sys/kernel/random/boot_id").trim();
  return `${bootId} ${readlinkSync("/proc/self/ns/net")} ${readlinkSync("/proc/self/ns/mnt")}`;
}

/** Loads `node:os` on first use: most actors never need it, and loading it adds half a millisecond to a start. */
export function loadOs(): typeof import("node:os") {
  return process.getBuiltinModule("node:os");
}

/** The addresses of this host's network interfaces, without scope ids. */
export function interfaceAddresses(): Set<string> {
  const found = new Set<string>();
  for (const list of Object.values(loadOs().networkInterfaces())) {
    for (const { address } of list ?? []) found.add(address.split("%")[0]!);
  }
  return found;
}

/**
 * Whether `host`, as written in a tcp address, means the reader's own machine on any machine. An ipv6 listener sees
 * an ipv4 peer's address with the prefix `::ffff:`.
 */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/.test(host);
}

/** Whether `host` is the wildcard address, which means all interfaces. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** 4 or 6 for the text of an ip address, 0 for anything else. (`node:net` has this too, but takes 6 ms to load.) */
export function ipVersion(text: string): 0 | 4 | 6 {
  if (/^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(text)) return 4;
  return /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text) && URL.canParse(`http://[${text}]/`) ? 6 : 0;
}
