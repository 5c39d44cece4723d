/** What the whole tree has in common, kept beside each actor's runtime. */
import type { Runtime } from "../actor/runtime.ts";
import type { Security } from "../actor/security.ts";
import type { Limits } from "../limits.ts";
import type { Address, Transport } from "../transport/address.ts";

/** What children inherit from their root. */
export interface TreeSettings {
  readonly root: { readonly name: string; readonly uuid: string; readonly addrs: readonly Address[] };
  readonly transports: readonly Transport[];
  /** The host of this machine on which fresh tcp addresses are bound. */
  readonly tcpHost: string;
  readonly limits: Limits;
  readonly security: Security;
}

const settings = new WeakMap<Runtime, TreeSettings>();

/** The settings of an actor's tree. */
export function treeSettings(runtime: Runtime): TreeSettings {
  const known = settings.get(runtime);
  if (known === undefined) throw new Error(`actor "${runtime.name}" has not booted yet`);
  return known;
}

export function setTreeSettings(runtime: Runtime, tree: TreeSettings): void {
  settings.set(runtime, tree);
}
