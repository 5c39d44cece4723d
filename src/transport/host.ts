/** Which machine this is, and which network addresses are its own. */
import { readFileSync, readlinkSync } from "node:fs";

let known: string | undefined;

/**
 * 16 hex digits that tell machines apart, and network or mount namespaces of one machine: boot id and both
 * namespaces, hashed. Two actors of the same host id can reach each other's socket files and loopback.
 */
export function hostId(): string {
  known ??= new Bun.CryptoHasher("sha256").update(fingerprint()).digest("hex").slice(0, 16);
  return known;
}

function fingerprint(): string {
  if (process.platform !== "linux") return `${process.platform} ${loadOs().hostname()}`;
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return `${bootId} ${readlinkSync("/proc/self/ns/net")} ${readlinkSync("/proc/self/ns/mnt")}`;
}

/** `node:os`, when it is first needed: most actors never do, and it takes half a millisecond of a start. */
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
 * Whether `host`, as it stands in a tcp address, means this machine wherever it is read. An ipv4 peer of an ipv6 listener
 * has its address behind `::ffff:`.
 */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/.test(host);
}

/** Whether `host` is the address that stands for all interfaces. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** 4 or 6 for the text of an ip address, 0 for anything else. (`node:net` has one, and takes 6 ms to load.) */
export function ipVersion(text: string): 0 | 4 | 6 {
  if (/^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(text)) return 4;
  return /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text) && URL.canParse(`http://[${text}]/`) ? 6 : 0;
}
