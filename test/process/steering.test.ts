/** What an actor's nurseries do when they are asked from outside: `furrow.restart`, `furrow.replace`, `furrow.events`. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import {
  ActorDiedError,
  type ActorId,
  type Address,
  type ChildEvent,
  findActor,
  getRoot,
  NameTakenError,
  openNursery,
  openRootActor,
  type Portal,
} from "../../src/index.ts";
import type { PastEvent } from "../../src/tree/child-history.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { Events } from "../support/events.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const versioned = new URL("../fixtures/versioned.ts", import.meta.url).href;
type Versioned = typeof import("../fixtures/versioned.ts");
const restarting = new URL("../fixtures/restarting.ts", import.meta.url).href;
const broken = new URL("../fixtures/broken.ts", import.meta.url).href;
const prints = new URL("../fixtures/prints.ts", import.meta.url).href;

/** The last group of a uuid stays when a nursery starts the actor again. */
const placeOf = ({ uuid }: ActorId): string => uuid.slice(-12);

async function restart(uuid: string): Promise<ActorId> {
  return (await (
    await getRoot()
  ).run["furrow.restart"]!(uuid)) as ActorId;
}

async function replace(uuid: string, module?: unknown): Promise<ActorId> {
  return (await (
    await getRoot()
  ).run["furrow.replace"]!(uuid, module)) as ActorId;
}

async function version(name: string): Promise<unknown> {
  await using portal = await findActor<Versioned>(name, { raiseOnNone: true });
  return await portal.run.version();
}

describe("furrow.restart", () => {
  test("ends a child and starts it again, though its policy never would", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const web = await nursery.startActor<Versioned>("web", { module: versioned });
    const other = await nursery.startActor("other", { module: versioned });
    const hung = failure(web.run.hang());
    const id = await restart(web.id.uuid);
    expect((await hung).name).toMatch(/ContextCancelledError|TransportClosedError/);
    expect(isProcessAlive(web.id.pid)).toBeFalse();
    expect([id.name, placeOf(id)]).toEqual(["web", placeOf(web.id)]);
    expect(id.pid).not.toBe(web.id.pid);
    expect((await findActor("web", { raiseOnNone: true })).id).toEqual(id);
    // nobody else is concerned, and nothing has failed
    expect(nursery.children).toMatchObject([
      { id, restarts: 1, state: "ready" },
      { id: other.id, restarts: 0, state: "ready" },
    ]);
    expect(events.lines).toEqual(["started web", "started other", "died web", "restarted web"]);
    expect(events.all[2]!.error).toBeUndefined();
    expect(nursery.signal.aborted).toBeFalse();
    // once more, by its new uuid only
    expect((await failure(restart(web.id.uuid))).message).toContain(`has a child ${web.id.uuid}`);
    expect((await restart(id.uuid)).pid).not.toBe(id.pid);
  });

  test("keeps the data of a child that may be restarted, and refuses one whose data is gone", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const kept = await nursery.startActor<Versioned>("kept", {
      module: versioned,
      data: 7,
      restart: "on-failure",
    });
    const gone = await nursery.startActor<Versioned>("gone", { module: versioned, data: 7 });
    await restart(kept.id.uuid);
    expect(await version("kept")).toBe(7);
    for (const work of [restart(gone.id.uuid), replace(gone.id.uuid, versioned)])
      expect((await failure(work)).message).toContain(
        'actor "gone": its data is gone, which is kept only for actors with the option restart',
      );
    expect(await version("gone")).toBe(7);
  });

  test("under one-for-all concerns no sibling", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, strategy: "one-for-all" });
    const web = await nursery.startActor("web", { module: versioned, restart: "always" });
    const other = await nursery.startActor("other", { module: versioned, restart: "always" });
    await restart(web.id.uuid);
    expect(nursery.children.map(({ restarts }) => restarts)).toEqual([1, 0]);
    expect(isProcessAlive(other.id.pid)).toBeTrue();
  });

  test("of one that can't be started again is a failure of the child, and rejects", async () => {
    await using world = new World();
    const nursery = await openNursery({ ...world.options, strategy: "one-for-one" });
    const env = { STARTS_FILE: join(world.dir, "starts"), FAIL_STARTS_AFTER: "1" };
    const web = await nursery.startActor("web", { module: restarting, env, output: "ignore" });
    const other = await nursery.startActor("other", { module: versioned });
    const error = await failure(restart(web.id.uuid));
    expect(error.message).toContain('actor "web" was ended, and did not start again');
    expect(nursery.children.map(({ id }) => id)).toEqual([other.id]);
    expect((await failure(nursery[Symbol.asyncDispose]())).message).toContain("start 2 failed on purpose");
  });

  test("of a child that waits for its restart waits along", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, strategy: "one-for-one" });
    const events = new Events(nursery);
    const web = await nursery.startActor<Versioned>("web", {
      module: versioned,
      restart: { when: "always", backoffMs: [300, 300] },
    });
    web.run.die().catch(() => {});
    await events.until(["died web"]);
    const id = await restart(web.id.uuid);
    expect(nursery.children).toMatchObject([{ id, restarts: 1, state: "ready" }]);
  });

  test("asked for twice at once restarts once, and keeps the name of a unique child", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const web = await nursery.startActor("web", { module: versioned, unique: true });
    const [first, second] = await Promise.all([restart(web.id.uuid), restart(web.id.uuid)]);
    expect(first).toEqual(second);
    expect(nursery.children).toMatchObject([{ id: first, restarts: 1, state: "ready" }]);
    expect(await failure(nursery.startActor("web", { module: versioned }))).toBeInstanceOf(NameTakenError);
    const id = await replace(first.uuid, versioned);
    expect(nursery.children).toMatchObject([{ id, state: "ready" }]);
    expect(await failure(nursery.startActor("web", { module: versioned }))).toBeInstanceOf(NameTakenError);
  });

  test("is refused once the nursery ends, which still waits for the child", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    const nursery = await openNursery();
    const web = await nursery.startActor("web", { module: versioned });
    const cancelled = nursery.cancel();
    expect((await failure(restart(web.id.uuid))).message).toContain("the nursery is closed");
    expect(nursery.children).toMatchObject([{ id: web.id, state: "stopping" }]);
    await cancelled;
    expect(isProcessAlive(web.id.pid)).toBeFalse();
    await nursery[Symbol.asyncDispose]();
  });

  test("rejects when the nursery ends meanwhile", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const env = { STARTS_FILE: join(world.dir, "starts"), GATE_FILE: join(world.dir, "gate") };
    await Bun.write(env.GATE_FILE, "");
    const web = await nursery.startActor("web", { module: restarting, env });
    const restarted = failure(restart(web.id.uuid));
    await until(() => nursery.children[0]?.id.uuid !== web.id.uuid);
    await nursery.cancel();
    expect((await restarted).message).toContain('actor "web" was ended, and did not start again');
    expect(nursery.children).toEqual([]);
    expect((await failure(restart(web.id.uuid))).name).toBe("RemoteActorError");
    expect(actor.signal.aborted).toBeFalse();
  });
});

describe("furrow.replace", () => {
  test("replaces a child by one of another module with its other options, and leaves others of its name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const events = new Events(nursery);
    const options = {
      module: versioned,
      version: "1.2",
      metadata: { zone: "a" },
      restart: "always",
      data: 7,
    } as const;
    const web = await nursery.startActor<Versioned>("web", options);
    const twin = await nursery.startActor<Versioned>("web", options);
    const id = await replace(web.id.uuid, restarting);
    expect([id.name, placeOf(id)]).toEqual(["web", placeOf(web.id)]);
    expect(isProcessAlive(web.id.pid)).toBeFalse();
    expect(isProcessAlive(twin.id.pid)).toBeTrue();
    const registry = await (await getRoot()).run["registrar.findActors"]!("web");
    expect(registry).toMatchObject([
      { id: twin.id, version: "1.2" },
      {
        id,
        version: "1.2",
        metadata: { zone: "a" },
        functions: [{ name: "crash" }, { name: "exit" }, { name: "pid" }],
      },
    ]);
    expect(events.lines).toEqual(["started web", "started web", "started web"]);
    // its restarts too
    await using portal = await findActor<typeof import("../fixtures/restarting.ts")>("web", {
      raiseOnNone: true,
    });
    expect(portal.id).toEqual(id);
    await portal.run.exit(0);
    await events.until(["restarted web"]);
  });

  test("keeps the other modules of a child", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const web = await nursery.startActor("web", { module: versioned, modules: [prints] });
    await replace(web.id.uuid, restarting);
    const [{ functions }] = (await (
      await getRoot()
    ).run["registrar.findActors"]!("web")) as [{ functions: { name: string }[] }];
    expect(functions.map(({ name }) => name).toSorted()).toEqual(["crash", "exit", "pid", "print"]);
  });

  test("leaves the child alone when the new one can't be started", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const web = await nursery.startActor<Versioned>("web", { module: versioned, output: "ignore" });
    expect((await failure(replace(web.id.uuid, broken))).name).toBe("RemoteActorError");
    expect((await failure(replace(web.id.uuid, join(world.dir, "nowhere.ts")))).message).toContain(
      "nowhere.ts",
    );
    for (const wrong of ["", 7])
      expect((await failure(replace(web.id.uuid, wrong))).message).toContain(
        "replace takes the uuid of a child",
      );
    expect(await web.run.version()).toBeNull();
    expect(nursery.children).toMatchObject([{ id: web.id, state: "ready" }]);
  });

  test("without a module replaces a child by one of its own modules, or restarts one that listens at a given address", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const web = await nursery.startActor<Versioned>("web", { module: versioned, metadata: { n: 1 } });
    const bindAddrs: Address[] = [`unix://${world.dir}/bound.sock`];
    const bound = await nursery.startActor("bound", { module: versioned, bindAddrs });
    const [freshWeb, freshBound] = [await replace(web.id.uuid), await replace(bound.id.uuid)];
    expect(nursery.children).toMatchObject([
      { id: freshWeb, restarts: 0 },
      { id: freshBound, restarts: 1 },
    ]);
    expect([freshWeb.name, freshBound.name]).toEqual(["web", "bound"]);
    await using found = await findActor("bound", { raiseOnNone: true });
    expect(found.addr).toBe(bindAddrs[0]!);
  });

  test("of one actor twice at once replaces it once", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const web = await nursery.startActor("web", { module: versioned });
    const first = replace(web.id.uuid, versioned);
    const second = failure(replace(web.id.uuid, versioned));
    const id = await first;
    expect((await second).message).toContain('cannot replace actor "web": it is being ended');
    expect(nursery.children).toMatchObject([{ id, state: "ready" }]);
  });
});

describe("furrow.restart and furrow.replace", () => {
  test("can be asked for by another program, of the actor that started the child", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "shop" });
    const web = await nursery.startActor("web", { module: versioned });
    const looker = await world.actor("looker");
    const ids = await looker.run(
      async ({ furrow, args }) => {
        const portal = await furrow.findActor("shop", { raiseOnNone: true });
        const first = (await portal.run["furrow.restart"]!(args[0])) as ActorId;
        return [first, (await portal.run["furrow.replace"]!(first.uuid, args[1])) as ActorId];
      },
      web.id.uuid,
      restarting,
    );
    expect(nursery.children).toMatchObject([{ id: ids[1]!, state: "ready" }]);
  });

  test("are refused where the child isn't this actor's, is still starting, or runs for one call", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const web = await nursery.startActor<Versioned>("web", { module: versioned });
    const asked = (web as unknown as Portal).run["furrow.restart"]!(web.id.uuid) as Promise<unknown>;
    expect((await failure(asked)).message).toContain(
      `no nursery of web#${web.id.uuid.slice(0, 8)} has a child`,
    );
    expect(
      (await failure((await getRoot()).run["furrow.restart"]!(7) as Promise<unknown>)).message,
    ).toContain("the uuid of a child must be a string");
    const env = { STARTS_FILE: join(world.dir, "starts"), GATE_FILE: join(world.dir, "gate") };
    await Bun.write(env.STARTS_FILE, "1\n");
    await Bun.write(env.GATE_FILE, "");
    const starting = failure(nursery.startActor("slow", { module: restarting, env }));
    await until(() => nursery.children.length === 2);
    expect((await failure(restart(nursery.children[1]!.id.uuid))).message).toContain("it is still starting");
    const call = failure(nursery.run<Versioned, "hang">(versioned, "hang"));
    await until(() => nursery.children[2]?.state === "ready");
    expect((await failure(restart(nursery.children[2]!.id.uuid))).message).toContain("it runs for one call");
    await nursery.cancel();
    await Promise.all([starting, call]);
  });

  test("and furrow.logs are refused to other owners, unless the policy says otherwise; a module only this user may name", async () => {
    await using world = new World();
    const authority = new Authority();
    const tls = (name: string): { tls: ReturnType<typeof writeTls> } => ({
      tls: writeTls(world.dir, name, authority.issue(`shop/${name}`)),
    });
    await using nursery = await openNursery({
      name: "shop",
      registryAddrs: [world.tcp],
      enableTransports: ["tcp"],
      security: { ...tls("shop"), policy: [{ from: "tls:shop/admin", call: ["furrow.*"], stop: true }] },
    });
    const web = await nursery.startActor("web", { module: versioned });
    const ask = async (name: string, uuid: string): Promise<string[]> => {
      const program = await world.program();
      return await program.run(
        async ({ furrow, args: [options, child, module] }) => {
          await using _ = await furrow.openRootActor(options as object);
          await using shop = await furrow.findActor("shop", { raiseOnNone: true });
          const outcome = async (work: Promise<unknown>): Promise<string> =>
            await work.then(
              () => "ok",
              (error: Error) => error.name,
            );
          const events = shop.stream["furrow.events"]!() as AsyncIterableIterator<ChildEvent>;
          const event = outcome(events.next());
          const outcomes = [
            await outcome(Array.fromAsync(shop.stream["furrow.logs"]!())),
            await outcome(shop.run["furrow.restart"]!(child) as Promise<unknown>),
            await outcome(shop.run["furrow.replace"]!(child, module) as Promise<unknown>),
            await event,
          ];
          await events.return?.();
          return outcomes;
        },
        { name, registryAddrs: [world.tcp], enableTransports: ["tcp"], security: tls(name) },
        uuid,
        versioned,
      );
    };
    const denied = "PermissionDeniedError";
    expect(await ask("visitor", web.id.uuid)).toEqual([denied, denied, denied, denied]);
    expect(nursery.children[0]!.id).toEqual(web.id);
    // the uuid is that of before the restart, but the refusal comes first
    expect(await ask("admin", web.id.uuid)).toEqual(["ok", "ok", denied, "ok"]);
    expect(nursery.children).toMatchObject([{ restarts: 1, state: "ready" }]);
  });
});

describe("furrow.events", () => {
  test("tells what happens to the children of all nurseries of an actor, and ends when it is left", async () => {
    await using world = new World();
    await using shop = await openRootActor({ ...world.options, name: "shop" });
    const looker = await world.actor("looker");
    const expected = [
      ["started", "web", null],
      ["died", "web", "ActorDiedError"],
      ["restarted", "web", null],
      ["died", "web", "ActorDiedError"],
      ["gave-up", "web", "ActorDiedError"],
      ["started", "db", null],
    ];
    await looker.run(async ({ furrow, keep, args }) => {
      const portal = await furrow.findActor("shop", { raiseOnNone: true });
      const events = portal.stream["furrow.events"]!() as AsyncIterable<ChildEvent>;
      const read = async (): Promise<unknown[]> => {
        const seen: unknown[] = [];
        for await (const { type, id, error } of events)
          if (seen.push([type, id.name, error?.name ?? null]) === args[0]) break;
        return seen;
      };
      keep["seen"] = read();
      // the stream has begun once a later call is answered
      await portal.run["furrow.ping"]!();
    }, expected.length);
    {
      await using nursery = await openNursery({ strategy: "one-for-one" });
      const restart = { when: "always", maxRestarts: 1, backoffMs: [0, 0] } as const;
      const web = await nursery.startActor<Versioned>("web", { module: versioned, restart });
      web.run.die().catch(() => {});
      await web.closed;
      await until(() => nursery.children[0]?.restarts === 1);
      await using again = await findActor<Versioned>("web", { raiseOnNone: true });
      again.run.die().catch(() => {});
      expect(await failure(nursery.join())).toBeInstanceOf(ActorDiedError);
    }
    await using nursery = await openNursery();
    await nursery.startActor("db", { module: versioned });
    expect(await looker.run(({ keep }) => keep["seen"] as Promise<unknown[]>)).toEqual(expected);
    await until(() => shop.stats().callsInFlight === 0);
  });

  test("with since, begins with what is remembered of children, those of nurseries that are closed included", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "shop" });
    await using root = await getRoot();
    const before = Date.now();
    const past = async (options: unknown): Promise<PastEvent[]> =>
      await Array.fromAsync(root.stream["furrow.events"]!(options) as AsyncIterable<PastEvent>);
    expect(await past({ since: 0, follow: false })).toEqual([]);
    {
      await using nursery = await openNursery({ strategy: "one-for-one" });
      const restart = { when: "on-failure", backoffMs: [0, 0] } as const;
      const web = await nursery.startActor<Versioned>("web", { module: versioned, restart });
      const first = web.id;
      web.run.die().catch(() => {});
      await until(() => nursery.children[0]?.restarts === 1);
      const { id: second } = nursery.children[0]!;
      await nursery.replaceActor("web", { module: versioned });
      const { id: third } = nursery.children[0]!;
      await nursery.cancel();
      const told = await past({ since: before, follow: false });
      expect(told).toMatchObject([
        { type: "died", id: first, restarts: 0, error: { name: "ActorDiedError", signal: "SIGKILL" } },
        { type: "restarted", id: second },
        { type: "ended", id: second, restarts: 1 },
        { type: "ended", id: third, restarts: 0 },
      ]);
      for (const { type, at, startedAt = 0 } of told) {
        if (type === "restarted") continue;
        expect(startedAt).toBeGreaterThanOrEqual(before);
        expect(at).toBeGreaterThanOrEqual(startedAt);
      }
    }
    expect(await past({ since: before, follow: false })).toHaveLength(4);
    expect(await past({ since: Date.now() + 60_000, follow: false })).toEqual([]);
    const events = root.stream["furrow.events"]!({ since: before }) as AsyncIterableIterator<PastEvent>;
    for (let told = 0; told < 4; told++) await events.next();
    const next = events.next();
    await using nursery = await openNursery();
    await nursery.startActor("db", { module: versioned });
    expect((await next).value).toMatchObject({ type: "started", id: { name: "db" } });
    await events.return?.();
  });

  test("rejects options that are malformed", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    await using root = await getRoot();
    for (const options of [5, null, { since: "yesterday" }, { follow: 1 }]) {
      const events = root.stream["furrow.events"]!(options) as AsyncIterable<unknown>;
      expect((await failure(Array.fromAsync(events))).message).toMatch(/events/);
    }
  });

  test("of an actor without a nursery is silent until it opens one, and ends with the actor", async () => {
    await using world = new World();
    const shop = await world.actor("shop");
    await using _ = await openRootActor(world.options);
    const portal = await findActor("shop", { raiseOnNone: true });
    const events = portal.stream["furrow.events"]!() as AsyncIterableIterator<ChildEvent>;
    const first = events.next();
    await shop.run(async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      await nursery.startActor("web", { module: args[0] as string });
    }, versioned);
    expect((await first).value).toMatchObject({ type: "started", id: { name: "web" } });
    const next = failure(events.next());
    await shop.run(async ({ furrow }) => await furrow.currentActor().cancel());
    expect((await next).name).toMatch(/ContextCancelledError|TransportClosedError/);
  });
});
