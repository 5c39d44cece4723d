/** What `furrow.describe` tells of an actor: what doesn't change, or rarely. */
import { dirname, join } from "node:path";

import type { Metadata } from "../actor/details.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";
import type { Limits } from "../limits.ts";
import type { ExposedFunction } from "../rpc/callee/dispatch.ts";
import type { Address } from "../transport/address.ts";
import { peerSamples } from "./measuring.ts";
import type { PeerSample } from "./sample.ts";

/** A child of an actor. */
export interface DescribedChild {
  readonly id: ActorId;
  readonly restarts: number;
  /** In milliseconds since 1970. */
  readonly startedAt: number;
  readonly state: string;
}

/** The children of an actor, as the process tree tells of them. */
export interface Family {
  children(): readonly DescribedChild[];
  /** Calls `onReady` with the uuid of each process that becomes ready; returns an unsubscribe function. */
  watch(onReady: (uuid: string) => void): () => void;
}

export interface Description {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
  readonly registryAddrs: readonly Address[];
  readonly isRoot: boolean;
  readonly isRegistrar: boolean;
  readonly state: "ready" | "draining";
  /** The uuid of the actor that started it; null for a root. */
  readonly parent: string | null;
  /** The program's own, from the option `version`. */
  readonly version: string | null;
  readonly metadata: Metadata;
  /** The version of this package; null in a program that is bundled with it. */
  readonly furrow: string | null;
  readonly bun: string;
  readonly platform: string;
  /** In milliseconds since 1970. */
  readonly startedAt: number;
  readonly uptimeMs: number;
  /** The modules whose exports peers may call. */
  readonly modules: readonly string[];
  readonly functions: readonly ExposedFunction[];
  readonly limits: Limits;
  /** How many calls run at once, if that is limited. */
  readonly concurrency: number | null;
  /** Of all its nurseries, in the order of their first starts. */
  readonly children: readonly DescribedChild[];
  readonly peers: readonly PeerSample[];
  /** How many more it is connected to. */
  readonly peersLeftOut: number;
}

export async function describeRuntime(
  runtime: Runtime,
  children: readonly DescribedChild[],
): Promise<Description> {
  const { id, addrs, registryAddrs, isRoot, isRegistrar, state, parent, version, metadata, startedAt } =
    runtime;
  const { dispatcher, limits, guard } = runtime;
  return {
    id,
    addrs,
    registryAddrs,
    isRoot,
    isRegistrar,
    state,
    parent,
    version,
    metadata,
    furrow: await readVersion(),
    bun: Bun.version,
    platform: process.platform,
    startedAt,
    uptimeMs: Date.now() - startedAt,
    modules: dispatcher.modules,
    functions: dispatcher.functions(),
    limits,
    concurrency: guard?.gate?.places ?? null,
    children,
    ...peerSamples(runtime),
  };
}

/** Reads it from the manifest, which is further up in the source as in the built package. */
async function readVersion(): Promise<string | null> {
  for (let folder = dirname(import.meta.path); folder !== dirname(folder); folder = dirname(folder)) {
    const manifest = Bun.file(join(folder, "package.json"));
    if (!(await manifest.exists())) continue;
    const { name, version } = (await manifest.json()) as { name?: unknown; version?: unknown };
    return name === "furrow" && typeof version === "string" ? version : null;
  }
  return null;
}
