/** What Linux tells about other processes; where there is no /proc, nothing is known. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

import { sleep } from "../../deadline.ts";
import type { ParsedAddress, ParsedTcpAddress } from "../../transport/address.ts";
import { processStat } from "../../transport/runtime-dir.ts";
import { listedForms } from "../../transport/tcp-owner.ts";

/**
 * What a process does that doesn't answer. frozen: stopped by a signal or a debugger. busy: it computes without a break.
 * blocked: it waits in the kernel for a disk. waiting: it sleeps, for something other than its peers. gone: it has ended.
 * unknown: the system doesn't say.
 */
export type Activity = "frozen" | "busy" | "blocked" | "waiting" | "gone" | "unknown";

/** How often to look at a process, and how long to wait in between. */
const looks = 10;
const betweenMs = 20;

/** In the tables of /proc/net: the state of a listener, and the hosts "0.0.0.0" and "::". */
const listening = "0A";
const anyHost = ["0".repeat(8), "0".repeat(32)] as const;

/** What one look at the state tells. */
const certain: Readonly<Record<string, Activity>> = { T: "frozen", t: "frozen", Z: "gone", X: "gone" };
/** What it tells if most looks show the same: a process is runnable also while others have the processor. */
const likely: Readonly<Record<string, Activity>> = { R: "busy", D: "blocked" };

/** Watches a process for a moment. */
export async function activityOf(pid: number, signal?: AbortSignal): Promise<Activity> {
  const seen = new Map<string, number>();
  for (let look = 0; look < looks; look++) {
    if (look > 0) await sleep(betweenMs, signal);
    const state = stateOf(pid);
    if (state === undefined) return process.platform === "linux" ? "gone" : "unknown";
    const known = certain[state];
    if (known !== undefined) return known;
    seen.set(state, (seen.get(state) ?? 0) + 1);
  }
  const [most] = Array.from(seen).find(([, times]) => times > looks / 2) ?? [];
  return likely[most ?? ""] ?? "waiting";
}

/** Whether a process is stopped by a signal or a debugger. */
export function isFrozen(pid: number): boolean {
  return certain[stateOf(pid) ?? ""] === "frozen";
}

/** The state of a process's main thread. */
function stateOf(pid: number): string | undefined {
  return processStat(pid)?.[0];
}

/** The name of a process's program, as `ps` shows it. */
export function commandOf(pid: number): string | undefined {
  return attempt(() => readFileSync(`/proc/${pid}/comm`, "utf8"))?.trim();
}

/**
 * The process that listens at an address of this host, as far as this user may see: of other users' processes, the
 * kernel shows only that they exist.
 */
export function listenerAt(address: ParsedAddress): number | undefined {
  const inodes = address.transport === "unix" ? unixListeners(address.path) : tcpListeners(address);
  if (inodes.size === 0) return undefined;
  for (const pid of processes()) {
    const fds = attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
    for (const fd of fds) {
      const target = attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
      if (target !== undefined && inodes.has(target)) return pid;
    }
  }
  return undefined;
}

/** Whether a process of this network namespace listens at the path. */
export function isListenedAt(path: string): boolean {
  return unixListeners(path).size > 0;
}

/** The listening sockets of a path, as `/proc/<pid>/fd` names them. */
function unixListeners(path: string): Set<string> {
  // "num: references protocol flags type state inode path"; the flag marks a listener, and paths may contain spaces
  const listener = /^\S+ \S+ \S+ 00010000 \S+ \S+ +(\d+) (.*)$/;
  return socketsIn("/proc/net/unix", (line) => {
    const [, inode, at] = listener.exec(line) ?? [];
    return at === path ? inode : undefined;
  });
}

/** The same of a port: at that address, or at all addresses of this host. */
function tcpListeners(address: ParsedTcpAddress): Set<string> {
  const port = address.port.toString(16).toUpperCase().padStart(4, "0");
  const hosts = address.host === "localhost" ? ["127.0.0.1", "::1"] : [address.host];
  const wanted = new Set([
    ...anyHost.map((host) => `${host}:${port}`),
    ...hosts.flatMap((host) => listedForms({ host, port: address.port })),
  ]);
  const inodeOf = (line: string): string | undefined => {
    // "sl local remote state queues timer retransmits uid timeout inode ..."
    const fields = line.trim().split(/\s+/);
    return fields[3] === listening && wanted.has(fields[1] ?? "") ? fields[9] : undefined;
  };
  return socketsIn("/proc/net/tcp", inodeOf).union(socketsIn("/proc/net/tcp6", inodeOf));
}

function socketsIn(table: string, inodeOf: (line: string) => string | undefined): Set<string> {
  const lines = attempt(() => readFileSync(table, "utf8"))?.split("\n") ?? [];
  return new Set(lines.flatMap((line) => inodeOf(line) ?? []).map((inode) => `socket:[${inode}]`));
}

/** The soft limit on a process's open files, and how many are open. Undefined if this user may not see that. */
export function openFilesOf(pid: number): { readonly limit: number; readonly open: number } | undefined {
  return attempt(() => {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.[1];
    const open = readdirSync(`/proc/${pid}/fd`).length;
    return soft === undefined ? undefined : { limit: Number(soft), open };
  });
}

function processes(): number[] {
  const names = attempt(() => readdirSync("/proc")) ?? [];
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Processes end while one reads about them, and those of other users can't be looked into. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
