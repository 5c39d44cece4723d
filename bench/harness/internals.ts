/**
 * What the bench uses of furrow beyond its public interface. No other file of the bench imports from inside `src/`.
 *
 * `bench:compare` runs this folder on older sources, too. What every revision since b60ef90 has under the same name is
 * imported as usual; what has moved since is looked up.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { currentRuntime } from "../../src/actor/current.ts";
import * as furrow from "../../src/index.ts";
import type { ActorId, Address } from "../../src/index.ts";
import type { ParsedTcpAddress } from "../../src/transport/address.ts";
import * as tcp from "../../src/transport/tcp.ts";
import type { TlsIdentity } from "../../src/transport/tls.ts";
import type { TransportDriver } from "../../src/transport/transport.ts";

export { currentRuntime } from "../../src/actor/current.ts";
export { Deadline } from "../../src/deadline.ts";
export { RegistryTable } from "../../src/discovery/table.ts";
export { type ParsedTcpAddress, qualifyAddress } from "../../src/transport/address.ts";
export { hostId } from "../../src/transport/host.ts";
export { isProcessAlive } from "../../src/transport/runtime-dir.ts";
export type { ShowMessage } from "../../src/page/protocol.ts";
export type { TlsIdentity } from "../../src/transport/tls.ts";
export type { Link, TransportDriver } from "../../src/transport/transport.ts";
export { Batch } from "../../src/wire/codec.ts";
export { decode } from "../../src/wire/decode.ts";
export { FrameDecoder, headerBytes } from "../../src/wire/frame.ts";
export { Kind, type Message, protocolVersion } from "../../src/wire/messages.ts";

type Runtime = ReturnType<typeof currentRuntime>;

/** False in revisions older than TLS, which have no `tcpDriver`. */
export const hasTls: boolean = "tcpDriver" in tcp;

/** Returns the driver of tcp links, with mutual TLS if there is an identity. */
export function tcpDriver(identity?: TlsIdentity): TransportDriver<ParsedTcpAddress> {
  return tcp.tcpDriver(identity);
}

/** `watchActors` of this revision, if it has one. */
export const watchActors: typeof furrow.watchActors | undefined = (
  furrow as Partial<Pick<typeof furrow, "watchActors">>
).watchActors;

/** `openService` of this revision, if it has one. */
export const openService: typeof furrow.openService | undefined = (
  furrow as Partial<Pick<typeof furrow, "openService">>
).openService;

/** `shareBuffer` of this revision, if it has one. */
export const shareBuffer: typeof furrow.shareBuffer | undefined = (
  furrow as Partial<Pick<typeof furrow, "shareBuffer">>
).shareBuffer;

/** Whether this revision has spare processes. */
export const hasSpares: boolean = existsSync(join(import.meta.dir, "../../src/tree/spares.ts"));

/** Whether this revision has the live page. */
export const hasPage: boolean = existsSync(join(import.meta.dir, "../../src/page/server.ts"));

/** Traces this process until the result is disposed; undefined in a revision without `furrow/otel`. */
export const startTracing: (() => Promise<AsyncDisposable>) | undefined = existsSync(
  join(import.meta.dir, "../../src/otel.ts"),
)
  ? async () => {
      const { instrument } = await import("../../src/otel.ts");
      return (await import("../fixtures/tracing.ts")).trace(instrument);
    }
  : undefined;

export type { ClusterStore } from "../../src/discovery/cluster-store.ts";
export type { Publisher } from "../../src/discovery/publisher.ts";
export type { DirectoryStore, HostLease, RemoteChange } from "../../src/discovery/store.ts";
export type { StoredRegistration } from "../../src/discovery/stored-registration.ts";

/** What clusters are made of. */
export type ClusterParts = Pick<typeof import("../../src/discovery/cluster-store.ts"), "ClusterStore"> &
  Pick<typeof import("../../src/discovery/memory-directory.ts"), "MemoryDirectory"> &
  Pick<typeof import("../../src/discovery/memory-store.ts"), "memoryCluster"> &
  Pick<typeof import("../../src/discovery/publisher.ts"), "Publisher"> &
  Pick<typeof import("../../src/discovery/remote-entry.ts"), "encodeEntry" | "RemoteEntry"> &
  Pick<typeof import("../../src/etcd.ts"), "etcd">;

/** Whether this revision has clusters. */
export const hasClusters: boolean = existsSync(join(import.meta.dir, "../../src/discovery/cluster.ts"));

/** Loads what clusters are made of. */
export async function clusterParts(): Promise<ClusterParts> {
  const [store, directory, memory, publisher, entry, etcd] = await Promise.all([
    import("../../src/discovery/cluster-store.ts"),
    import("../../src/discovery/memory-directory.ts"),
    import("../../src/discovery/memory-store.ts"),
    import("../../src/discovery/publisher.ts"),
    import("../../src/discovery/remote-entry.ts"),
    import("../../src/etcd.ts"),
  ]);
  return { ...store, ...directory, ...memory, ...publisher, ...entry, ...etcd };
}

/** This actor's connection to a registrar: what the rows use of it. */
export interface RegistrarLink {
  /** What the registrar keeps current here, by name. */
  readonly cache: {
    clear(): void;
    /** Calls `onChange` once, at the next change of a known name. */
    watch(name: string, onChange: () => void): () => void;
  };
  register(runtime: Runtime): Promise<unknown>;
  unregister(): Promise<unknown>;
}

/** The registrars that an actor knows: what the rows use of them. */
interface Registrars {
  /** The link, if there is exactly one. */
  readonly onlyLink: RegistrarLink | undefined;
  /** In a registrar, the service that holds the table. */
  readonly service:
    | { readonly table: { register(id: ActorId, addrs: readonly Address[]): unknown } }
    | undefined;
}

interface RegistrarsClass {
  of(runtime: Runtime): Registrars;
}

/** The file and the class that hold an actor's registrars, the newest first. */
const registrarsPlaces = [
  ["registrars.ts", "Registrars"],
  ["registries.ts", "Registries"],
] as const;

const registrars = await findRegistrars();

async function findRegistrars(): Promise<RegistrarsClass> {
  for (const [file, name] of registrarsPlaces) {
    const path = join(import.meta.dir, "../../src/discovery", file);
    if (!existsSync(path)) continue;
    const found = ((await import(path)) as Readonly<Record<string, RegistrarsClass | undefined>>)[name];
    if (found !== undefined) return found;
  }
  throw new Error("bench/harness/internals.ts doesn't know where this revision keeps an actor's registrars");
}

/** The link to the one registrar that this process's actor is connected to. */
export function registrarLink(): RegistrarLink {
  const link = registrars.of(currentRuntime()).onlyLink;
  if (link === undefined) throw new Error("this actor is not connected to exactly one registrar");
  return link;
}

/** Takes a name that is free, and gives it back. */
export async function claimAndRelease(name: string): Promise<void> {
  claims ??= await openClaims();
  await claims(name);
}

let claims: ((name: string) => Promise<void>) | undefined;

/** Revisions before `findOrStart` have none. */
async function openClaims(): Promise<(name: string) => Promise<void>> {
  const { Holds, HeldName } = (await import(
    join(import.meta.dir, "../../src/discovery/holds.ts")
  )) as typeof import("../../src/discovery/holds.ts");
  const { Deadline } = await import("../../src/deadline.ts");
  const held = Holds.of(registrars.of(currentRuntime()) as Parameters<typeof Holds.of>[0]);
  const deadline = new Deadline({}, "claim");
  return async (name) => {
    const taken = await held.takeOrFind(name, false, deadline);
    if (!(taken instanceof HeldName)) throw new Error(`${name} is registered`);
    taken.use()();
  };
}

/** The table of the registrar in this process. */
export function registrarTable(): NonNullable<Registrars["service"]>["table"] {
  const { service } = registrars.of(currentRuntime());
  if (service === undefined) throw new Error("this process is not a registrar");
  return service.table;
}
