/** Whose the other end of a loopback connection is: on Linux the kernel lists it, see proc_net_tcp(5). */
import { readFileSync } from "node:fs";

const established = "01";

/**
 * The uid of the process of this machine whose socket has port `theirs` and is connected to port `ours`; undefined when
 * there is none, or the system doesn't tell. Takes some milliseconds: the kernel walks its whole table.
 */
export function loopbackOwner(theirs: number, ours: number): number | undefined {
  if (process.platform !== "linux") return undefined;
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const uid = ownerIn(table, `:${hexPort(theirs)}`, `:${hexPort(ours)}`);
    if (uid !== undefined) return uid;
  }
  return undefined;
}

function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

function ownerIn(table: string, theirs: string, ours: string): number | undefined {
  let lines: string[];
  try {
    lines = readFileSync(table, "utf8").split("\n");
  } catch {
    return undefined; // no ipv6 here, say
  }
  for (const line of lines) {
    // "sl local remote state queues timer retransmits uid ..."
    const [, local = "", remote = "", state, , , , uid] = line.trim().split(/\s+/);
    if (state === established && local.endsWith(theirs) && remote.endsWith(ours)) return Number(uid);
  }
  return undefined;
}
