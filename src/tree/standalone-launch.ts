/**
 * How a child is started from an executable of `furrow build`: by running that executable again. It passes all its arguments
 * to the program, so what Bun itself has to know goes into variables, which the child takes out of its environment.
 */
import { existsSync } from "node:fs";

import { SpawnError } from "../errors.ts";
import { inspectFlags } from "./inspector.ts";

/** This process's own executable, even when another file has taken its place since: a tree never mixes two versions. */
const ownExecutable = "/proc/self/exe";

/** What to run. */
export function executable(): string {
  return existsSync(ownExecutable) ? ownExecutable : process.execPath;
}

export interface StandaloneLaunch {
  /** What the process starts with, in addition to its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What it sets these variables to once it runs; null: removed. */
  readonly restore: Readonly<Record<string, string | null>>;
  /** Where its debugger listens, if it has one. */
  readonly debugger: string | undefined;
}

/**
 * The variables for these flags of Bun and this debugger, given the environment without them.
 *
 * @throws {SpawnError} when a flag has no effect in an executable
 */
export function standaloneLaunch(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
  flags: readonly string[],
  inspect: boolean | string | undefined,
): StandaloneLaunch {
  const useless = flags.find((flag) => flag.startsWith("--inspect"));
  if (useless !== undefined)
    throw new SpawnError(
      `cannot start actor "${name}": ${useless} has no effect in an executable: use the option inspect`,
    );
  const options = [...(env["BUN_OPTIONS"] ? [env["BUN_OPTIONS"]] : []), ...flags.map(quoted)].join(" ");
  const address = debuggerAddress(inspect);
  return {
    env: {
      ...(flags.length > 0 && { BUN_OPTIONS: options }),
      ...(address !== undefined && { BUN_INSPECT: address }),
    },
    restore: {
      ...(flags.length > 0 && { BUN_OPTIONS: env["BUN_OPTIONS"] ?? null }),
      ...(address !== undefined && { BUN_INSPECT: null }),
    },
    debugger: address,
  };
}

/** Bun splits `BUN_OPTIONS` at spaces outside of quotation marks. */
function quoted(flag: string): string {
  return `"${flag.replaceAll('"', String.raw`\"`)}"`;
}

/** An executable doesn't print where its debugger listens, so the port is chosen here. */
function debuggerAddress(inspect: boolean | string | undefined): string | undefined {
  const [flag] = inspectFlags(inspect);
  if (flag === undefined) return undefined;
  if (inspect === true) return `ws://127.0.0.1:${freePort()}/${crypto.randomUUID()}`;
  const [, host = "", path = ""] = /^(?:wss?:\/\/)?([^/]*)(.*)$/.exec(flag.slice("--inspect=".length)) ?? [];
  const authority = /^\d+$/.test(host) ? `127.0.0.1:${host}` : host;
  return `ws://${authority}${path === "" ? `/${crypto.randomUUID()}` : path}`;
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
