/** Settings shared by the whole tree, stored with each of its actors. */
import { Part } from "../actor/part.ts";
import type { Security } from "../actor/security.ts";
import type { Limits } from "../limits.ts";
import type { Address, Transport } from "../transport/address.ts";

/**
 * What to do with a child's output: pass it on (`"inherit"`), pass it on with the child's name before each line (`"prefix"`), pass
 * it on and keep the last 256 KiB of it in this process (`"keep"`), or drop it (`"ignore"`).
 */
export type OutputMode = "inherit" | "prefix" | "keep" | "ignore";

const outputModes: readonly unknown[] = ["inherit", "prefix", "keep", "ignore"] satisfies OutputMode[];

/** @throws {RangeError} when it isn't a mode */
export function checkOutput(output: unknown): void {
  if (output === undefined || outputModes.includes(output)) return;
  throw new RangeError(
    `output must be "inherit", "prefix", "keep" or "ignore", got ${JSON.stringify(output)}`,
  );
}

/** What children inherit from their root. */
export interface TreeSettings {
  readonly root: { readonly name: string; readonly uuid: string; readonly addrs: readonly Address[] };
  readonly transports: readonly Transport[];
  /** The host of this machine for binding fresh tcp addresses. */
  readonly tcpHost: string;
  /** What this actor advertises; left out for what it binds. */
  readonly advertise?: readonly Address[];
  readonly limits: Limits;
  readonly security: Security;
  /** The default timeout of the calls of each actor; left out for none. */
  readonly callTimeoutMs?: number;
  /** What an actor's nurseries do with the output of their children by default; left out for `"inherit"`. */
  readonly output?: OutputMode;
}

/** @throws {RangeError} when `callTimeoutMs` is given but isn't a non-negative number of milliseconds */
export function checkCallTimeout(callTimeoutMs: number | undefined): void {
  if (callTimeoutMs === undefined || callTimeoutMs >= 0) return;
  throw new RangeError(
    `callTimeoutMs must be a non-negative number of milliseconds, got ${String(callTimeoutMs)}`,
  );
}

/** Set when an actor boots. */
export const treeSettings: Part<TreeSettings> = new Part();
