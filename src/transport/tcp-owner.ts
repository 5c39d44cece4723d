/** The owner of the other end of a loopback connection: Linux lists it, see proc_net_tcp(5). */
import { nodeFs } from "./files.ts";

const established = "01";

/** One end of a connection over loopback. */
export interface LoopbackEnd {
  readonly host: string;
  readonly port: number;
}

/**
 * Returns the uid that owns the local socket at the end `theirs` of the connection to `ours`; undefined when there is
 * none, or the system can't tell. Takes milliseconds: the kernel walks its whole table.
 */
export function loopbackOwner(theirs: LoopbackEnd, ours: LoopbackEnd): number | undefined {
  if (process.platform !== "linux") return undefined;
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const uid = ownerIn(table, listedForms(theirs), listedForms(ours));
    if (uid !== undefined) return uid;
  }
  return undefined;
}

/**
 * The forms in which the kernel may list an end. The address matters as well as the port: another user may have the
 * same port at 127.0.0.2. The ipv6 table lists an ipv4 address when its socket is an ipv6 one.
 */
export function listedForms({ host, port }: LoopbackEnd): readonly string[] {
  const bytes = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host)?.slice(1);
  // words of 32 bits in host byte order, which is little-endian here
  const ipv4 = bytes && Buffer.from(bytes.map(Number)).reverse().toString("hex").toUpperCase();
  const hosts =
    ipv4 === undefined ? [`${"0".repeat(24)}01000000`] : [ipv4, `${"0".repeat(16)}FFFF0000${ipv4}`];
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  return hosts.map((hex) => `${hex}:${hexPort}`);
}

function ownerIn(table: string, theirs: readonly string[], ours: readonly string[]): number | undefined {
  let lines: string[];
  try {
    lines = nodeFs().readFileSync(table, "utf8").split("\n");
  } catch {
    return undefined; // for example, a system without ipv6
  }
  for (const line of lines) {
    // "sl local remote state queues timer retransmits uid ..."
    const [, local = "", remote = "", state, , , , uid] = line.trim().split(/\s+/);
    if (state === established && theirs.includes(local) && ours.includes(remote)) return Number(uid);
  }
  return undefined;
}
