/** Programs on hosts of a test that share a directory on etcd. */
import type { Address } from "../../src/index.ts";
import { EtcdOnHosts } from "./etcd-hosts.ts";
import { type Host, Hosts } from "./netns.ts";
import type { setTiming } from "./timing.ts";
import { type Program, until } from "./world.ts";

type Service = typeof import("../fixtures/service.ts");

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

/** Three hosts, an etcd server on each, and on each a registrar with a child: `a-root`, `a-child`, and so on. */
export class Stage implements AsyncDisposable {
  readonly hosts: Hosts;
  readonly etcd: EtcdOnHosts;
  readonly all: readonly [Host, Host, Host];
  /** The registrars, or the programs to ask in place of them. */
  readonly programs: [Program, Program, Program];
  readonly #options: MachineOptions;

  private constructor(
    hosts: Hosts,
    etcd: EtcdOnHosts,
    all: Stage["all"],
    programs: Stage["programs"],
    options: MachineOptions,
  ) {
    this.hosts = hosts;
    this.etcd = etcd;
    this.all = all;
    this.programs = programs;
    this.#options = options;
  }

  static async open(options: MachineOptions = {}): Promise<Stage> {
    const hosts = await Hosts.open("a", "b", "c");
    try {
      const all = ["a", "b", "c"].map((name) => hosts.get(name)) as [Host, Host, Host];
      const etcd = await EtcdOnHosts.start(...all);
      const roots = await Promise.all(all.map((host) => boot(host, `${host.name}-root`, etcd, options)));
      const stage = new Stage(hosts, etcd, all, roots as [Program, Program, Program], options);
      await Promise.all(roots.map((program, at) => start(program, `${all[at]!.name}-child`)));
      await stage.agree(everyone);
      return stage;
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts a further program there, with the options of all. */
  async boot(host: Host, name: string): Promise<Program> {
    return await boot(host, name, this.etcd, this.#options);
  }

  /** Waits until the registrar of each host lists exactly these. */
  async agree(names: readonly string[]): Promise<void> {
    const wanted = names.toSorted().join(" ");
    let seen: string[] = [];
    const isAgreed = async (): Promise<boolean> => {
      seen = (await Promise.all(this.programs.map(listed))).map((list) => list.join(" "));
      return seen.every((list) => list === wanted);
    };
    try {
      await until(isAgreed, 20_000);
    } catch (error) {
      throw new Error(`wanted ${wanted}, got ${JSON.stringify(seen)}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hosts[Symbol.asyncDispose]();
  }
}

/** Whom a stage begins with. */
export const everyone: readonly string[] = ["a-child", "a-root", "b-child", "b-root", "c-child", "c-root"];

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

/** Calls an actor; returns the sum, or the code of the error and its text. */
export async function call(from: Program, name: string): Promise<number | string> {
  return await from.run(async ({ furrow, args: [wanted] }) => {
    try {
      const bounds = { raiseOnNone: true, timeout: 5_000 } as const;
      await using portal = await furrow.findActor<Service>(String(wanted), bounds);
      return await portal.with({ timeout: 5_000 }).run.add(1, 2);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return `${code}: ${message}`;
    }
  }, name);
}

/**
 * What `queryActor` says: whether there is an address, and whether that may be behind; or the codes of its error and of the
 * cause.
 */
export async function query(from: Program, name: string): Promise<string> {
  return await from.run(async ({ furrow, args: [wanted] }) => {
    try {
      await using found = await furrow.queryActor(String(wanted), { timeout: 5_000 });
      return `${found.addr === null ? "none" : "found"}${found.stale ? ", stale" : ""}`;
    } catch (error) {
      const { code, cause } = error as { code: string; cause?: { code?: string } };
      return `${code} <- ${cause?.code}`;
    }
  }, name);
}

/** What a watch there has told. */
export class Watching {
  readonly #program: Program;
  readonly #key: string;

  private constructor(program: Program, key: string) {
    this.#program = program;
    this.#key = key;
  }

  /** Watches a pattern; resolves when the first state has come. */
  static async begin(program: Program, pattern: string): Promise<Watching> {
    const key = `watch ${pattern}`;
    await program.run(
      async ({ furrow, keep, args: [wanted, place] }) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        const events: string[] = [];
        keep[String(place)] = events;
        void (async () => {
          for await (const event of furrow.watchActors(String(wanted))) {
            if (event.type === "sync") resolve();
            events.push(
              event.type === "sync" ? `sync ${event.actors.length}` : `${event.type} ${event.actor.id.name}`,
            );
          }
        })();
        await promise;
      },
      pattern,
      key,
    );
    return new Watching(program, key);
  }

  /** All events so far: the type and the name, or the size of a state. */
  async events(): Promise<string[]> {
    return await this.#program.run(
      ({ keep, args: [key] }) => [...(keep[String(key)] as string[])],
      this.#key,
    );
  }

  /** Waits until there are so many. */
  async has(count: number): Promise<void> {
    await until(async () => (await this.events()).length >= count, 20_000).catch(async (error: unknown) => {
      throw new Error(`not ${count} events: ${(await this.events()).join(", ")}`, { cause: error });
    });
  }
}

/** Makes a call that the actor doesn't answer; resolves when it has been sent. The result: the code and the text of its error. */
export async function hang(from: Program, name: string): Promise<{ readonly failed: Promise<string> }> {
  const failed = from.run(async ({ furrow, args: [wanted] }) => {
    await using portal = await furrow.findActor<Service>(String(wanted), { raiseOnNone: true });
    const error = await portal.run.hang().catch((thrown: unknown) => thrown as Error & { code: string });
    return `${error.code}: ${error.message}`;
  }, name);
  failed.catch(() => {});
  await until(async () => await from.run(({ furrow }) => furrow.currentActor().stats().callsInFlight > 0));
  return { failed };
}

/** Listens at the path of a socket, where nothing may dial; returns how often something has. */
export async function trap(on: Program, socket: Address): Promise<() => Promise<number>> {
  const path = socket.slice("unix://".length);
  await on.run(({ keep, args: [at] }) => {
    const dials = ((keep["dials"] ??= {}) as Record<string, number>)[String(at)] ?? 0;
    const counts = keep["dials"] as Record<string, number>;
    counts[String(at)] = dials;
    const open = (): void => void (counts[String(at)] = counts[String(at)]! + 1);
    keep[`trap ${String(at)}`] = Bun.listen({ unix: String(at), socket: { open, data() {} } });
  }, path);
  return async () =>
    await on.run(({ keep, args: [at] }) => (keep["dials"] as Record<string, number>)[String(at)]!, path);
}
