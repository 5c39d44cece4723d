/** What a parent tells the child that it starts, in one environment variable, so that the child need not ask. */
import type { ActorId } from "../identity.ts";
import type { KnownRegistrar } from "../discovery/bootstrap.ts";
import type { Address } from "../transport/address.ts";
import type { TreeSettings } from "./settings.ts";

/** Taken out of the environment before any code of the user runs. */
export const initVariable = "FURROW_CHILD";

/** Bun ends a process that has it when its parent dies, however that dies and whatever the process is doing. */
export const orphanVariable = "BUN_FEATURE_FLAG_NO_ORPHANS";

export interface ChildInit extends TreeSettings {
  readonly name: string;
  readonly uuid: string;
  readonly parent: { readonly name: string; readonly uuid: string; readonly addrs: readonly Address[] };
  /** How long the start may take from the spawn on: no bound inside of it is shorter. */
  readonly startMs: number;
  readonly modules: readonly string[];
  readonly bindAddrs: readonly Address[];
  readonly registryAddrs: readonly Address[];
  readonly registrars: readonly KnownRegistrar[];
}

/** The identity of a child as its parent knows it before it has said hello. */
export function childId(init: Pick<ChildInit, "name" | "uuid">, pid: number, host: string): ActorId {
  return { name: init.name, uuid: init.uuid, pid, host };
}
