/** Programs on hosts of a test that share a directory on etcd. */
import type { Address } from "../../src/index.ts";
import type { EtcdOnHosts } from "./etcd-hosts.ts";
import type { Host } from "./netns.ts";
import type { setTiming } from "./timing.ts";
import type { Program } from "./world.ts";

const etcdFile = new URL("../../src/etcd.ts", import.meta.url).href;
export const service: string = new URL("../fixtures/service.ts", import.meta.url).href;

export interface MachineOptions {
  /** For how long the entries of a dead host stay. */
  readonly ttlMs?: number;
  readonly timing?: Parameters<typeof setTiming>[0];
  /** Of the root. */
  readonly root?: Readonly<Record<string, unknown>>;
}

/**
 * Starts a program there whose root is the registrar of its host, if it is the first, and shares its table through the
 * etcd. It listens on all interfaces, and exposes the functions of `fixtures/service.ts`.
 */
export async function boot(
  host: Host,
  name: string,
  etcd: EtcdOnHosts,
  { ttlMs = 6_000, timing = {}, root = {} }: MachineOptions = {},
): Promise<Program> {
  const program = await host.program({}, timing);
  await program.run(
    async ({ furrow, keep, args: [file, urls, ttl, options] }) => {
      const { etcd: at } = (await import(String(file))) as typeof import("../../src/etcd.ts");
      const cluster = at(String(urls), { ttlMs: Number(ttl) });
      keep["actor"] = await furrow.openRootActor({ ...(options as object), cluster });
      keep["nursery"] = await furrow.openNursery({ strategy: "one-for-one" });
    },
    etcdFile,
    etcd.urls,
    ttlMs,
    {
      name,
      bindAddrs: [host.unix(name), "tcp://0.0.0.0:0"],
      security: { tls: host.hosts.tls(`${host.name}/${name}`) },
      enableModules: [service],
      ...root,
    },
  );
  return program;
}

/** Starts an actor with the functions of `fixtures/service.ts` as a child of the program's root. */
export async function start(program: Program, name: string, options: object = {}): Promise<void> {
  await program.run(
    async ({ furrow, keep, args: [child, given] }) => {
      const nursery = keep["nursery"] as Awaited<ReturnType<typeof furrow.openNursery>>;
      await nursery.startActor(String(child), given as { module: string });
    },
    name,
    { module: service, ...options },
  );
}

/** The names that the program's registrar lists, in order. */
export async function listed(program: Program): Promise<string[]> {
  return await program.run(async ({ furrow }) => {
    await using registry = await furrow.getRegistry();
    return (await registry.run.listActors()).map(({ id }) => id.name).toSorted();
  });
}

/** Listens at the path of a socket, where nothing may dial; returns what has dialled so far. */
export async function trap(on: Program, socket: Address): Promise<() => Promise<number>> {
  await on.run(({ keep, args: [path] }) => {
    const fs = process.getBuiltinModule("node:fs");
    fs.mkdirSync(String(path).slice(0, String(path).lastIndexOf("/")), { recursive: true });
    keep["dials"] = 0;
    const open = (): void => void (keep["dials"] = Number(keep["dials"]) + 1);
    keep["trap"] = Bun.listen({ unix: String(path), socket: { open, data() {} } });
  }, socket.slice("unix://".length));
  return async () => await on.run(({ keep }) => Number(keep["dials"]));
}
