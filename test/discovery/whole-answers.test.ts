/** Who asks for every instance of a name gets every one, also from a registrar that waits for some to come back. */
import { describe, expect, test } from "bun:test";

import {
  currentActor,
  findActor,
  getRegistry,
  openNursery,
  openRootActor,
  type RegistrarApi,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;
type Service = typeof import("../fixtures/service.ts");

describe("a registrar that waits for an instance to come back", () => {
  test("tells those who want every instance only when it is back, whatever they know from before", async () => {
    using _timing = setTiming({ gracePeriodMs: 60_000 });
    await using world = new World();
    const hub = await world.actor("hub");
    await using nursery = await openNursery(world.options);
    const here = await nursery.startActor<Service>("w", { module: service });
    const late = await world.actor("w");
    const both = [here.id.uuid, await late.run(({ furrow }) => furrow.currentActor().uuid)];
    await late.freeze();
    await hub.kill();
    const registered = (): number | undefined => currentActor().stats().registrar?.actors;
    await until(() => registered() === 2);

    // what is back is answered at once, to those who want any instance; the cache keeps it
    expect(await here.run.find("w")).toBe(here.id.uuid);
    await using other = await RawPeer.connect(world.unix, { name: "other" });
    await other.take(Kind.hello);
    other.send([Kind.lookup, 1, "w", false, false, true], [Kind.lookup, 2, "w", true]);
    expect(await other.take()).toEqual([Kind.partial, "w"]);
    expect((await other.take()).slice(0, 2)).toEqual([Kind.result, 2]);

    const registry = (await getRegistry()).run as {
      [Name in Exclude<keyof RegistrarApi, "countInterested">]: (name: string) => unknown;
    };
    const settled: string[] = [];
    const note = async <T>(what: string, answer: Promise<T>): Promise<T> => {
      const value = await answer;
      settled.push(what);
      return value;
    };
    const answers = [
      note("own lookup", uuidsOf("w")),
      note("own lookup at an address", uuidsOf("w", [world.unix])),
      note("portal", idsOf(registry.findActors("w"))),
      note("cache", here.run.findAll("w")),
    ];
    // a miss or an answer that isn't held back would be here by the next reply of each
    await here.run.find("w");
    await registry.findActor("w");
    expect(settled).toEqual([]);
    late.signal("SIGCONT");
    expect(await Promise.all(answers)).toEqual([both, both, both, both]);
    await other.take(Kind.added);
    const [, id, list] = (await other.take(Kind.result)) as unknown as [number, number, unknown[]];
    expect([id, list.length]).toEqual([1, 2]);
  });
});

async function uuidsOf(name: string, registryAddrs?: string[]): Promise<string[]> {
  const where = registryAddrs === undefined ? {} : { registryAddrs: registryAddrs as `unix://${string}`[] };
  await using group = await findActor(name, { onlyFirst: false, ...where });
  return group.map(({ id }) => id.uuid);
}

async function idsOf(found: unknown): Promise<string[]> {
  return ((await found) as { id: { uuid: string } }[]).map(({ id }) => id.uuid);
}

describe("a name of which the registrar has told a part", () => {
  test("is asked for once more by those who want every instance, together, and by no one else", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    const asked: unknown[][] = [];
    const whole = Promise.withResolvers<void>();
    hub.onLookup = (peer, message) => {
      asked.push(message.slice(2));
      const [, id, name, , , isWhole] = message;
      if (isWhole === true) return void whole.promise.then(() => peer.send([Kind.result, id, []]));
      peer.send([Kind.partial, name], [Kind.result, id, []]);
    };
    await findActor("w");
    await findActor("w");
    const all = [findActor("w", { onlyFirst: false }), findActor("w", { onlyFirst: false })];
    await until(() => asked.length === 2);
    // those who take any are still answered from memory
    await findActor("w");
    whole.resolve();
    await Promise.all(all);
    await findActor("w", { onlyFirst: false });
    expect(asked).toEqual([
      ["w", true],
      ["w", true, false, true],
    ]);
    expect(actor.stats().lookups.requests).toBe(2);
  });
});
