/** Names that only one actor may have. */
import { describe, expect, test } from "bun:test";

import {
  type ActorDiedError,
  currentActor,
  findActor,
  NameTakenError,
  openNursery,
  openRootActor,
  SpawnError,
  waitForActor,
} from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { type Singleton, Traces } from "../support/singleton.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawRegistrar } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;

/** Tries to start an actor in a program; what it throws, as `NameTakenError` reports it. */
async function startElsewhere(world: World, name: string, options: object): Promise<object> {
  const program = await world.program();
  return await program.run(
    async ({ furrow, args }) => {
      const [name, options] = args as [string, { module: string }];
      await using nursery = await furrow.openNursery({ enableTransports: ["unix", "tcp"] });
      try {
        await nursery.startActor(name, options);
        return {};
      } catch (error) {
        const { name, message, holder } = error as NameTakenError;
        return { name, message, holder };
      }
    },
    name,
    options,
  );
}

describe("startActor with unique", () => {
  test("refuses the name to every other start, unique or not, here and elsewhere, and names the holder", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    const one = await nursery.startActor("one", { ...traces.options(), unique: true });
    const taken = {
      name: "NameTakenError",
      message: `the name "one" is taken by one#${one.id.uuid.slice(0, 8)} (pid ${one.id.pid})`,
      holder: one.id,
    };
    // none of them gets as far as its module
    for (const options of [{ ...traces.options(), unique: true }, traces.options()]) {
      const error = await failure(nursery.startActor("one", options));
      expect(error).toBeInstanceOf(NameTakenError);
      expect(error).toMatchObject({ ...taken, code: "ERR_NAME_TAKEN" });
      expect(await startElsewhere(world, "one", options)).toEqual(taken);
    }
    const boot = await failure(world.actor("one"));
    expect([boot.name, boot.message]).toEqual([taken.name, taken.message]);
    expect(traces.starts).toEqual([{ pid: one.id.pid, parent: process.pid }]);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("is refused while another actor has the name", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "root" });
    const plain = await nursery.startActor("plain", { module: service });
    for (const [name, holder] of [
      ["plain", plain.id],
      ["root", currentActor().id],
    ] as const) {
      const error = await failure(nursery.startActor(name, { module: service, unique: true }));
      expect((error as NameTakenError).holder).toEqual(holder);
    }
    // several that aren't unique may share a name
    await using another = await nursery.startActor("plain", { module: service });
    expect(another.id.uuid).not.toBe(plain.id.uuid);
  });

  test("is refused while another start of the name is under way, and names who makes that", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    traces.close();
    const starting = nursery.startActor("one", { ...traces.options(), unique: true });
    await until(() => traces.starts.length === 1);
    const { name, holder } = (await startElsewhere(world, "one", {
      ...traces.options(),
      unique: true,
    })) as NameTakenError;
    expect([name, holder]).toEqual(["NameTakenError", currentActor().id]);
    traces.open();
    // and findOrStart waits for it
    const found = await nursery.findOrStart<Singleton>("one", traces.options());
    expect(found.id).toEqual((await starting).id);
  });

  test("gives the name back when the actor has ended, when its start fails, and when it is aborted", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const traces = new Traces(world, "one");
    const options = { ...traces.options(), unique: true } as const;
    for (let round = 0; round < 3; round++) {
      await using nursery = await openNursery();
      const one = await nursery.startActor("one", options);
      process.kill(one.id.pid, "SIGKILL");
      await failure(nursery.join());
      const failing = { ...options, ...traces.options({ SINGLETON_FAILS: "1" }) };
      await using again = await openNursery();
      expect(await failure(again.startActor("one", failing))).toBeInstanceOf(SpawnError);
      traces.close();
      const aborted = failure(again.startActor("one", { ...options, signal: AbortSignal.timeout(50) }));
      expect((await aborted).name).toBe("TimeoutError");
      traces.open();
      await again.startActor("one", options);
    }
    expect(traces.overlaps).toEqual([]);
    expect(await findActor("one")).toBeNull();
  });

  test("gives a restart its name back, which nobody else gets meanwhile", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    const options = { ...traces.options(), unique: true } as const;
    const first = await nursery.startActor("one", { ...options, restart: "on-failure" });
    traces.close();
    process.kill(first.id.pid, "SIGKILL");
    await first.closed;
    for (const other of [options, { module: service }]) {
      const { name, holder } = (await startElsewhere(world, "one", other)) as NameTakenError;
      expect([name, holder.name]).toEqual(["NameTakenError", currentActor().name]);
    }
    const asked = nursery.findOrStart<Singleton>("one", traces.options());
    traces.open();
    await using second = await waitForActor<Singleton>("one");
    expect(second.id.uuid).not.toBe(first.id.uuid);
    expect((await asked).id).toEqual(second.id);
    expect(traces.overlaps).toEqual([]);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("is kept when the registrar changes, by an actor that comes back late too", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const traces = new Traces(world, "one");
    const owner = await world.program();
    await owner.run(
      async ({ furrow, keep, args }) => {
        const nursery = await furrow.openNursery({ enableTransports: ["unix", "tcp"] });
        keep["nursery"] = nursery;
        await nursery.startActor("one", args[0] as { module: string });
      },
      { ...traces.options(), unique: true },
    );
    const [one] = traces.starts;
    await hub.kill();
    for (const options of [{ ...traces.options(), unique: true }, { module: service }]) {
      const { name, holder } = (await startElsewhere(world, "one", options)) as NameTakenError;
      expect([name, holder.pid]).toEqual(["NameTakenError", one!.pid]);
    }
    expect(traces.overlaps).toEqual([]);
  });
});

describe("an actor whose name another has got while it was cut off", () => {
  test.each(["startActor", "findOrStart"] as const)(
    "ends when it learns of that, and its nursery hears why: %s",
    async (verb) => {
      await using hub = new RawRegistrar();
      await using nursery = await openNursery({ registryAddrs: [hub.addr] });
      const options = { module: service, ...(verb === "startActor" && { unique: true }) };
      const one = await nursery[verb]("one", options);
      const holder = { name: "one", uuid: "other", pid: 1, host: "" };
      const taken = [[], ["NameTakenError", "taken", "", null, null, { holder }]];
      hub.onClaim = (peer, [, id]) => peer.send([Kind.error, id, taken]);
      hub.cut();
      const { name, actor, cause } = (await failure(nursery.join())) as ActorDiedError;
      expect([name, actor, (cause as NameTakenError).name]).toEqual([
        "ActorDiedError",
        one.id,
        "NameTakenError",
      ]);
      expect((cause as NameTakenError).holder).toEqual(holder);
    },
  );
});

describe("findOrStart with unique", () => {
  test("shares the actor with all who find it, and refuses its name to other starts", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const traces = new Traces(world, "one");
    const ask = (): Promise<string> =>
      nursery.findOrStart("one", { ...traces.options(), unique: true }).then(({ id }) => id.uuid);
    expect(new Set(await Promise.all(Array.from({ length: 10 }, ask))).size).toBe(1);
    const error = await failure(nursery.startActor("one", { module: service }));
    expect(error).toBeInstanceOf(NameTakenError);
    expect(traces.starts).toHaveLength(1);
  });
});
