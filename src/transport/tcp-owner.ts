/** Whose the other end of a loopback connection is: on Linux the kernel lists it, see proc_net_tcp(5). */
import { readFileSync } from "node:fs";

const established = "01";

/** One end of a connection over loopback. */
export interface LoopbackEnd {
  readonly host: string;
  readonly port: number;
}

/**
 * The uid of the process of this machine whose socket is the end `theirs` of the connection to `ours`; undefined when there
 * is none, or the system doesn't tell. Takes some milliseconds: the kernel walks its whole table.
 */
export function loopbackOwner(theirs: LoopbackEnd, ours: LoopbackEnd): number | undefined {
  if (process.platform !== "linux") return undefined;
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const uid = ownerIn(table, listed(theirs), listed(ours));
    if (uid !== undefined) return uid;
  }
  return undefined;
}

/**
 * An end as the kernel may list it. The address counts as well as the port: another user may have that port at 127.0.0.2.
 * An ipv4 address stands in the table of ipv6 when its socket is of that kind.
 */
function listed({ host, port }: LoopbackEnd): readonly string[] {
  const bytes = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host)?.slice(1);
  // 32 bits at a time, each as this machine (which is little-endian) reads it
  const ipv4 = bytes && Buffer.from(bytes.map(Number)).reverse().toString("hex").toUpperCase();
  const hosts =
    ipv4 === undefined ? [`${"0".repeat(24)}01000000`] : [ipv4, `${"0".repeat(16)}FFFF0000${ipv4}`];
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  return hosts.map((hex) => `${hex}:${hexPort}`);
}

function ownerIn(table: string, theirs: readonly string[], ours: readonly string[]): number | undefined {
  let lines: string[];
  try {
    lines = readFileSync(table, "utf8").split("\n");
  } catch {
    return undefined; // no ipv6 here, say
  }
  for (const line of lines) {
    // "sl local remote state queues timer retransmits uid ..."
    const [, local = "", remote = "", state, , , , uid] = line.trim().split(/\s+/);
    if (state === established && theirs.includes(local) && ours.includes(remote)) return Number(uid);
  }
  return undefined;
}
