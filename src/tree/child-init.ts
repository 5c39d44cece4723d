/** What a parent passes to the process that it starts, in one environment variable. */
import type { Metadata } from "../actor/details.ts";
import type { HoldForm } from "../discovery/holds.ts";
import type { ActorId } from "../identity.ts";
import type { DialTarget } from "../channel/peer.ts";
import type { Address } from "../transport/address.ts";
import type { TreeSettings } from "./settings.ts";

/** Removed from the environment before any user code runs. */
export const initVariable = "FURROW_CHILD";

/** What a spare process is called until it is an actor. */
export const spareTitle = "(spare)";
/** The same in as many bytes as the longest name of an actor. */
export const spareName: string = spareTitle.padEnd(255);

/** With this variable set, Bun ends the process when its parent dies, however that happens and whatever it is doing. */
export const orphanVariable = "BUN_FEATURE_FLAG_NO_ORPHANS";

/** Set by `furrow dev`: actors are reloaded when their files change. */
export const developVariable = "FURROW_DEV";

export interface ChildInit extends TreeSettings {
  readonly name: string;
  readonly uuid: string;
  readonly parent: { readonly name: string; readonly uuid: string; readonly addrs: readonly Address[] };
  /** How long the start may take, counted from the spawn. No timeout of a step within it is shorter. */
  readonly startMs: number;
  readonly version: string | null;
  readonly metadata: Metadata;
  readonly modules: readonly string[];
  /** The modules of its parent, and of those that the parent descends from; see `refuseUnguarded`. */
  readonly lineage: readonly string[];
  /** Whether the parent has data for it; see `start-data.ts`. */
  readonly hasData: boolean;
  readonly bindAddrs: readonly Address[];
  readonly registryAddrs: readonly Address[];
  readonly registrars: readonly DialTarget[];
  /** How many of its functions may run at once; undefined for any number. */
  readonly concurrency: number | undefined;
  /** Variables that are only for Bun's own start of the process, with what to set them to afterwards; null: removed. */
  readonly env?: Readonly<Record<string, string | null>>;
  /** The hold under which it is started, if its name is held. */
  readonly hold?: HoldForm;
}

/** What a spare process gets in place of that, which it gets later; see `orders.ts`. */
export interface SpareInit {
  /** The directory in which its actor will listen; null if that doesn't listen on a unix socket. */
  readonly spare: string | null;
}

/** The identity of a child, which its parent knows before the child's handshake. */
export function childId(init: Pick<ChildInit, "name" | "uuid">, pid: number, host: string): ActorId {
  return { name: init.name, uuid: init.uuid, pid, host };
}
