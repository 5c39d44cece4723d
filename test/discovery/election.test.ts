/** Who is the registrar: of programs that boot, of those that lost one, of those that cannot reach each other. */
import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { type Address, openRootActor } from "../../src/index.ts";
import { RawRegistrar } from "../support/raw-peer.ts";
import { freePort, type Program, until, World } from "../support/world.ts";

const both = ["unix", "tcp"] as const;

function isRegistrar(program: Program): Promise<boolean> {
  return program.run(({ furrow }) => furrow.currentActor().isRegistrar);
}

/** The name that a program's root has for the registrar it is registered with, or its own. */
function registrarOf(program: Program): Promise<string> {
  return program.run(async ({ furrow }) => {
    const registry = await furrow.getRegistry();
    return registry.id.name;
  });
}

/** Boots a root actor in a program that is up; the error as a value. */
function boot(
  program: Program,
  options: Record<string, unknown>,
): Promise<{ name: string; message: string }> {
  return program.run(async ({ furrow, keep, args }) => {
    try {
      keep["actor"] = await furrow.openRootActor(args[0] as object);
      return { name: "none", message: "booted" };
    } catch (error) {
      const { name, message } = error as Error;
      return { name, message };
    }
  }, options);
}

function find(program: Program, name: string): Promise<string | null> {
  return program.run(async ({ furrow, args }) => {
    const { id } = await furrow.queryActor(args[0] as string);
    return id === null ? null : id.name;
  }, name);
}

describe("a registrar that is there and does not answer", () => {
  test("is waited for, and joined when it goes on", async () => {
    await using world = new World();
    const options = { enableTransports: both, limits: { probeTimeoutMs: 100 } };
    const hub = await world.actor("hub", options);
    await hub.freeze();
    const [patient, hasty] = [await world.program(), await world.program()];
    const waiting = boot(patient, { ...options, name: "patient" });
    // three probes of an address that says nothing would be over by then
    const error = await boot(hasty, { ...options, name: "hasty", timeout: 1_200 });
    expect(error.name).toBe("RegistryUnavailableError");
    expect(error.message).toContain(`pid ${hub.pid}`);
    hub.signal("SIGCONT");
    expect((await waiting).message).toBe("booted");
    expect(await registrarOf(patient)).toBe("hub");
  });

  test.each([["unix"], ["tcp"]] as const)(
    "is named by its pid when the boot's time or signal ends the wait, with %s alone",
    async (transport) => {
      await using world = new World();
      const options = {
        registryAddrs: [transport === "unix" ? world.unix : world.tcp],
        enableTransports: [transport],
        limits: { probeTimeoutMs: 50 },
      };
      const hub = await world.actor("hub", options);
      await hub.freeze();
      const program = await world.program();
      const late = await boot(program, { ...options, timeout: 400 });
      expect(late).toMatchObject({ name: "RegistryUnavailableError" });
      expect(late.message).toContain(`hub`);
      expect(late.message).toContain(`pid ${hub.pid}`);
      const aborted = await program.run(async ({ furrow, args }) => {
        const signal = AbortSignal.timeout(400);
        const thrown = (await furrow
          .openRootActor({ ...(args[0] as object), signal })
          .catch((error: unknown) => error)) as Error;
        return { name: thrown.name, message: thrown.message };
      }, options);
      expect(aborted.name).toBe("RegistryUnavailableError");
      expect(aborted.message).toContain(`pid ${hub.pid}`);
      hub.signal("SIGCONT");
      expect((await boot(program, options)).message).toBe("booted");
      expect([await isRegistrar(hub), await isRegistrar(program)]).toEqual([true, false]);
    },
  );

  test("that computes while programs boot gets all of them", async () => {
    await using world = new World();
    const options = { enableTransports: both, limits: { probeTimeoutMs: 50 } };
    const hub = await world.actor("hub", options);
    const programs = await Promise.all(Array.from({ length: 6 }, () => world.program()));
    const computing = hub.run(() => {
      const end = performance.now() + 700;
      while (performance.now() < end);
    });
    const outcomes = await Promise.all(
      programs.map((program, index) => boot(program, { ...options, name: `p${index}` })),
    );
    await computing;
    expect(outcomes.map(({ message }) => message)).toEqual(programs.map(() => "booted"));
  });
});

describe("losing the registrar while programs boot", () => {
  test("lets every boot through, with one registrar that later boots join", async () => {
    await using world = new World();
    const options = { enableTransports: both };
    let hub = await world.actor("hub", options);
    const members = await Promise.all([0, 1, 2].map((index) => world.actor(`member${index}`, options)));
    for (let round = 0; round < 3; round++) {
      const booting = await Promise.all(Array.from({ length: 4 }, () => world.program()));
      const boots = booting.map((program, index) =>
        boot(program, { ...options, name: `r${round}b${index}` }),
      );
      await hub.kill();
      expect((await Promise.all(boots)).map(({ message }) => message)).toEqual(boots.map(() => "booted"));
      const late = await world.actor(`late${round}`, options);
      const names = new Set(await Promise.all([...members, ...booting, late].map(registrarOf)));
      expect(names.size).toBe(1);
      const all = members.filter((member) => member !== hub).concat(booting, late);
      for (const program of all) {
        if (await isRegistrar(program)) hub = program;
        else if (!members.includes(program)) await program.kill();
      }
      members.splice(0, members.length, ...members.filter((member) => member !== hub));
      while (members.length < 3) members.push(await world.actor(`more${round}`, options));
    }
  }, 60_000);
});

describe("a registrar that dies under the registration of a boot", () => {
  test("is followed by that boot, which runs one flow and serves every address", async () => {
    await using world = new World();
    for (let round = 0; round < 5; round++) {
      const hub = new RawRegistrar();
      hub.onRegister = () => void hub[Symbol.asyncDispose]();
      const addrs: Address[] = [`unix://${world.dir}/r${round}.sock`, hub.addr];
      await using actor = await openRootActor({ registryAddrs: addrs, enableTransports: both });
      // a second flow would go on, and let go of what the first has bound
      const guest = await world.actor("guest", { registryAddrs: addrs.slice(1), enableTransports: ["unix"] });
      expect({
        isRegistrar: actor.isRegistrar,
        addrs: actor.addrs.toSorted(),
        registrar: await registrarOf(guest),
      }).toEqual({ isRegistrar: true, addrs: addrs.toSorted(), registrar: "root" });
      await guest.kill();
    }
  });
});

describe("the registrar after one that died", () => {
  /** `newcomers`: whether the next registrar comes new, or has been a member; on one transport either will do. */
  const configurations: [
    what: string,
    addrs: (world: World) => Address[],
    transports: readonly string[],
    newcomers: readonly boolean[],
  ][] = [
    ["unix alone", (world) => [world.unix], ["unix"], [true]],
    ["tcp alone", (world) => [world.tcp], ["tcp"], [false]],
    ["both", (world) => [world.unix, world.tcp], both, [true, false]],
    [
      "a registry socket outside the runtime directory",
      (world) => [`unix://${world.dir}/out/r.sock`],
      ["unix"],
      [true],
    ],
  ];
  test.each(configurations)(
    "holds back its misses until those who were registered are back, newcomer or not: %s",
    async (_what, addrs, transports, newcomers) => {
      for (const newcomer of newcomers) {
        await using world = new World();
        mkdirSync(join(world.dir, "run"), { mode: 0o700 });
        const env = { FURROW_RUNTIME_DIR: join(world.dir, "run") };
        const options = { registryAddrs: addrs(world), enableTransports: transports };
        const hub = await world.actor("hub", options, env);
        const late = await world.actor("late", options, env);
        const other = newcomer ? await world.program(env) : await world.actor("next", options, env);
        await late.freeze();
        await hub.kill();
        if (newcomer) await boot(other, { ...options, name: "next" });
        await until(() => isRegistrar(other));
        const finding = find(other, "late");
        const all = other.run(async ({ furrow }) => {
          const { run } = await furrow.getRegistry();
          return (await run.listActors()).map(({ id }) => id.name).toSorted();
        });
        // what is there is answered at once
        expect(await find(other, "next")).toBe("next");
        late.signal("SIGCONT");
        expect([await finding, await all]).toEqual(["late", ["late", "next"]]);
      }
    },
  );

  test("answers a miss at once when it is the first", async () => {
    await using world = new World();
    const hub = await world.program();
    // longer than this test may take
    await hub.run(({ setTiming }) => void setTiming({ gracePeriodMs: 60_000, blindGracePeriodMs: 60_000 }));
    await boot(hub, { name: "hub", enableTransports: both });
    expect(await find(hub, "nobody")).toBeNull();
  });

  test("waits for those who come back while it computes, or is stopped, for longer than its bound", async () => {
    await using world = new World();
    const options = { enableTransports: both };
    const hub = await world.actor("hub", options);
    const [next, late] = [await world.actor("next", options), await world.actor("late", options)];
    await next.run(({ setTiming }) => void setTiming({ gracePeriodMs: 500 }));
    await late.freeze();
    await hub.kill();
    await until(() => isRegistrar(next));
    const finding = next.run(async ({ furrow }) => {
      const query = furrow.queryActor("late");
      const end = performance.now() + 700;
      while (performance.now() < end);
      return (await query).id?.name ?? null;
    });
    late.signal("SIGCONT");
    expect(await finding).toBe("late");
  });

  test("does not wait for long for one that does not come back", async () => {
    await using world = new World();
    const options = { enableTransports: both };
    const hub = await world.actor("hub", options);
    const [next, stopped] = [await world.actor("next", options), await world.actor("stopped", options)];
    await next.run(({ setTiming }) => void setTiming({ gracePeriodMs: 200 }));
    await stopped.freeze();
    await hub.kill();
    await until(() => isRegistrar(next));
    expect(await find(next, "stopped")).toBeNull();
    stopped.signal("SIGCONT");
    await until(async () => (await find(next, "stopped")) !== null);
  });
});

describe("programs of different transports", () => {
  /** Both of these lead to one lock: the default pair. */
  function pair(world: World, port: number): { unix: Address; tcp: Address } {
    return { unix: `unix://${world.dir}/registry@${port}.sock`, tcp: `tcp://127.0.0.1:${port}` };
  }

  test.each([
    ["unix", "tcp"],
    ["tcp", "unix"],
  ] as const)(
    "a registrar on %s alone, and a program on %s alone: the error names both",
    async (first, second) => {
      await using world = new World();
      const addrs = pair(world, freePort());
      const hub = await world.actor("hub", { registryAddrs: [addrs[first]], enableTransports: [first] });
      const program = await world.program();
      const error = await boot(program, { registryAddrs: [addrs[second]], enableTransports: [second] });
      expect(error.name).toBe("RegistryUnavailableError");
      for (const part of ["hub", `pid ${hub.pid}`, addrs[first], "enableTransports"])
        expect(error.message).toContain(part);
    },
  );

  test.each([
    ["unix", both],
    ["tcp", both],
    [both, "unix"],
    [both, "tcp"],
  ])("a registrar on %p and a program on %p: it joins", async (first, second) => {
    await using world = new World();
    const addrs = pair(world, freePort());
    const options = (which: string | readonly string[]): Record<string, unknown> => {
      const transports = [which].flat() as ("unix" | "tcp")[];
      return { registryAddrs: transports.map((one) => addrs[one]), enableTransports: transports };
    };
    await world.actor("hub", options(first));
    const program = await world.actor("program", options(second));
    expect([await isRegistrar(program), await registrarOf(program)]).toEqual([false, "hub"]);
  });
});

describe("a registrar whose socket goes", () => {
  test.each(["socket", "directory"])("binds it again: the %s", async (what) => {
    await using world = new World();
    const path = join(world.dir, "deep", "registry@1.sock");
    const options = { registryAddrs: [`unix://${path}`], enableTransports: ["unix"] };
    const env = { FURROW_RUNTIME_DIR: join(world.dir, "deep") };
    const hub = await world.actor("hub", options, env);
    rmSync(what === "socket" ? path : join(world.dir, "deep"), { recursive: true });
    await until(() => existsSync(path));
    expect(lstatSync(join(world.dir, "deep")).mode & 0o777).toBe(0o700);
    const guest = await world.actor("guest", options, env);
    expect([await registrarOf(guest), await find(hub, "guest")]).toEqual(["hub", "guest"]);
  });

  test("yields to one that serves there by now: its clients and its children come along", async () => {
    await using world = new World();
    const dir = join(world.dir, "deep");
    const options = { registryAddrs: [`unix://${dir}/registry@1.sock`], enableTransports: ["unix"] };
    const env = { FURROW_RUNTIME_DIR: dir };
    const older = await world.actor("older", options, env);
    const client = await world.actor("client", options, env);
    await older.run(
      async ({ furrow, keep, args }) => {
        const nursery = await furrow.openNursery();
        keep["nursery"] = nursery;
        await nursery.startActor("child", { module: args[0] as string });
      },
      new URL("../fixtures/service.ts", import.meta.url).href,
    );
    // the older one looks twice a second: this one is there before
    const program = await world.program(env);
    await older.freeze();
    rmSync(dir, { recursive: true });
    expect((await boot(program, { ...options, name: "newer" })).message).toBe("booted");
    expect(await isRegistrar(program)).toBeTrue();
    older.signal("SIGCONT");
    await until(async () => !(await isRegistrar(older)), 10_000);
    for (const one of [older, client]) expect(await registrarOf(one)).toBe("newer");
    const listed = (): Promise<string[]> =>
      program.run(async ({ furrow }) => {
        const { run } = await furrow.getRegistry();
        return (await run.listActors()).map(({ id }) => id.name).toSorted();
      });
    await until(async () => (await listed()).length === 4);
    expect(await listed()).toEqual(["child", "client", "newer", "older"]);
    expect(
      await older.run(async ({ keep }) => (keep["nursery"] as { signal: AbortSignal }).signal.aborted),
    ).toBe(false);
  });
});

describe("a lock file", () => {
  test("says who serves there, for errors", async () => {
    await using world = new World();
    const hub = await world.actor("hub", { enableTransports: both });
    const path = `${world.unix.slice("unix://".length)}.lock`;
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
      pid: hub.pid,
      name: "hub",
      addrs: world.registryAddrs,
    });
  });
});
