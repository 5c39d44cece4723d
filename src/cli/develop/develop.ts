/**
 * Runs a program while its files are being written. A change of a file that the program itself has restarts it; a change of
 * a file that only actors have reloads those actors, which they see to themselves (`src/tree/reload.ts`).
 */
import { relative } from "node:path";

import { sleep } from "../../deadline.ts";
import { developVariable } from "../../tree/child-init.ts";
import { describeEnd } from "../process-end.ts";
import { Changes } from "./changes.ts";
import { filesOf } from "./files.ts";

/** How much later than the program this process may hear of Ctrl-C. */
const interruptMs = 500;

export interface DevelopOptions {
  /** The absolute path of the program. */
  readonly file: string;
  readonly args: readonly string[];
  /** Merged over this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** How long the program may take to end when it is asked to, before it is killed. */
  readonly stopMs: number;
  /** Aborted to end it. */
  readonly signal: AbortSignal;
  /** The signal that asks the program to end once `signal` is aborted; undefined if it has that already. */
  readonly stopSignal: () => NodeJS.Signals | undefined;
  /** Receives a line for each thing that happens. */
  readonly tell: (line: string) => Promise<void>;
}

/** Resolves when `signal` is aborted, and the program has ended. */
export async function develop(options: DevelopOptions): Promise<void> {
  const { file, signal, tell } = options;
  const name = relative(process.cwd(), file);
  using changes = new Changes();
  let fault = await follow(changes, file);
  while (!signal.aborted) {
    if (fault === undefined) fault = await runUntilChange(options, name, changes);
    else {
      await tell(`${name} can't be loaded, waiting for a change:\n${fault}`);
      await changes.next(signal);
      fault = await follow(changes, file);
    }
  }
}

/** Runs it once, until another version of it can be loaded. */
async function runUntilChange(
  options: DevelopOptions,
  name: string,
  changes: Changes,
): Promise<string | undefined> {
  const { file, signal, tell } = options;
  const child = start(options);
  const ended = new AbortController();
  void child.exited.then(() => ended.abort());
  for (;;) {
    const changed = await changes.next(AbortSignal.any([signal, ended.signal]));
    if (signal.aborted) {
      await stop(child, options, options.stopSignal());
      return undefined;
    }
    if (changed.length === 0) {
      if (isInterrupted(child)) await sleep(interruptMs, signal).catch(() => {});
      if (signal.aborted) return undefined;
      await tell(`${name} ${describeEnd(child)}: waiting for a change`);
      await changes.next(signal);
      return await follow(changes, file);
    }
    const fault = await follow(changes, file);
    const files = changed.map((path) => relative(process.cwd(), path)).join(", ");
    if (fault === undefined) {
      await tell(`restarting ${name}: ${files} changed`);
      await stop(child, options, "SIGTERM");
      return undefined;
    }
    await tell(`${name} goes on as it was:\n${fault}`);
  }
}

/** Ctrl-C in a terminal reaches the program and this process, in either order. */
function isInterrupted({ exitCode, signalCode }: Child): boolean {
  return signalCode === "SIGINT" || exitCode === 130;
}

/** Watches all files of the program. Returns why it can't be loaded, if so: then those of before are watched on. */
async function follow(changes: Changes, file: string): Promise<string | undefined> {
  // first of all, or a change that comes while it is read would be missed
  if (!changes.files.has(file)) changes.follow(changes.files.union(new Set([file])));
  const { files, fault } = await filesOf(file);
  changes.follow(fault === undefined ? files : files.union(changes.files));
  return fault?.replace(/^/gm, "  ");
}

type Child = Bun.Subprocess<"inherit", "inherit", "inherit">;

function start({ file, args, env }: DevelopOptions): Child {
  return Bun.spawn([process.execPath, "--no-orphans", file, ...args], {
    env: { ...process.env, ...env, [developVariable]: "1" },
    stdio: ["inherit", "inherit", "inherit"],
  });
}

async function stop(
  child: Child,
  { stopMs, tell }: DevelopOptions,
  signal: NodeJS.Signals | undefined,
): Promise<void> {
  if (signal !== undefined) child.kill(signal);
  const timer = setTimeout(() => {
    void tell(`the program (pid ${child.pid}) did not end within ${stopMs} ms: killing it`);
    child.kill("SIGKILL");
  }, stopMs);
  await child.exited;
  clearTimeout(timer);
}
