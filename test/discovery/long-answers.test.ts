/** Answers of a registrar that are too long for one turn of its event loop. */
import { describe, expect, test } from "bun:test";

import { writeBrief } from "../../src/discovery/brief.ts";
import { currentRuntime } from "../../src/actor/current.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import type { RegistryTable } from "../../src/discovery/table.ts";
import { getRegistry, LimitError, openRootActor, queryActor, watchActors } from "../../src/index.ts";
import { partLength } from "../../src/rpc/parts.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { type RawMessage, RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const addr = "tcp://127.0.0.1:1";
const many = 5_000;

function table(): RegistryTable {
  return Registrars.of(currentRuntime()).service!.table;
}

/** Registers instances of "many" that have no connection behind them. */
function fill(count: number = many): void {
  for (let n = 0; n < count; n++)
    table().register({ name: "many", uuid: `u${n}`, pid: 1, host: hostId() }, [addr]);
}

async function connect(world: World): Promise<RawPeer> {
  const peer = await RawPeer.connect(world.unix, { name: "asker", addrs: [addr] });
  await peer.take(Kind.hello);
  return peer;
}

/** What has arrived up to that message, in short: runs of messages of one kind and id are counted. */
async function runsUntil(peer: RawPeer, kind: number, id: number): Promise<[string, number][]> {
  const names = Object.fromEntries(Object.entries(Kind).map(([name, value]) => [value, name]));
  const runs: [string, number][] = [];
  for (;;) {
    const message = await peer.take();
    const name = `${names[message[0]]} ${String(message[1])}`;
    const last = runs.at(-1);
    if (last?.[0] === name) last[1]++;
    else runs.push([name, 1]);
    if (message[0] === kind && message[1] === id) return runs;
  }
}

const form = (uuid: string): string => writeBrief(uuid, 1, 1, hostId(), [addr]);

describe("a long answer", () => {
  const parts = Math.ceil(many / partLength) - 1;

  test.each([
    ["a lookup", [Kind.lookup, 1, "many", false], Kind.part],
    ["a lookup with details", [Kind.lookup, 1, "many", false, true], Kind.part],
    ["findActors", [Kind.call, 1, "registrar.findActors", ["many"]], Kind.part],
    ["listActors", [Kind.call, 1, "registrar.listActors", []], Kind.part],
    ["a watch", [Kind.watch, 1, "many"], Kind.state],
    ["a watch of all", [Kind.watch, 1, "*"], Kind.state],
  ] as [string, RawMessage, number][])(
    "to %s is sent in parts, with others in between",
    async (_, message, kind) => {
      await using world = new World();
      await using _root = await openRootActor({ ...world.options, name: "root" });
      fill();
      await using peer = await connect(world);
      peer.send(message);
      peer.send([Kind.lookup, 2, "root", false]);
      const runs = await runsUntil(peer, Kind.result, 1);
      const names = runs.map(([name]) => name);
      // the one that was asked later is answered first
      expect(names.indexOf("result 2")).toBeGreaterThan(0);
      expect(names.indexOf("result 2")).toBeLessThan(names.length - 1);
      const isPart = ([name]: [string, number]): boolean =>
        name === `${kind === Kind.part ? "part" : "state"} 1`;
      const total = runs.filter(isPart).reduce((sum, [, count]) => sum + count, 0);
      const isAll = message[0] === Kind.call && message[2] === "registrar.listActors";
      expect(total).toBe(isAll || message[2] === "*" ? Math.ceil((many + 1) / partLength) - 1 : parts);
    },
  );

  test("waits while the peer doesn't read, and ends with its connection", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill(30_000);
    await using peer = await connect(world);
    await using other = await connect(world);
    const { link } = Array.from(currentRuntime().peers)[0]!.channel;
    peer.pause();
    peer.send([Kind.lookup, 1, "many", false, true]);
    await until(() => link.pendingBytes > 1_048_576);
    // the other one isn't kept waiting
    other.send([Kind.lookup, 1, "many", false]);
    let received = 0;
    for (let isOver = false; !isOver;) {
      const [kind, , list] = await other.take();
      received += (list as unknown[]).length;
      isOver = kind === Kind.result;
    }
    expect(received).toBe(30_000);
    expect(link.pendingBytes).toBeLessThan(4 * 1_048_576);
    peer.cut();
    await until(() => currentRuntime().peers.size === 1);
  });

  test("that takes more than maxFrameBytes is an error for who asked, and no more", async () => {
    await using world = new World();
    await using _ = await openRootActor({
      ...world.options,
      name: "root",
      limits: { maxFrameBytes: 65_536 },
    });
    fill();
    await using peer = await connect(world);
    const requests: RawMessage[] = [
      [Kind.lookup, 1, "many", false],
      [Kind.call, 1, "registrar.listActors", []],
      [Kind.watch, 1, "many"],
    ];
    for (const message of requests) {
      peer.send(message);
      await runsUntil(peer, Kind.error, 1);
      const [, , [, [name, text]]] = peer.received.at(-1) as [number, number, [unknown, [string, string]]];
      expect(name).toBe("LimitError");
      expect(text).toContain(
        `a list of ${message[0] === Kind.call ? many + 1 : many} takes more than maxFrameBytes 65536`,
      );
    }
    expect(Registrars.of(currentRuntime()).service!.watching.size).toBe(0);
    expect(peer.isOpen).toBeTrue();
  });

  test("reaches users as any other", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill();
    // the registrar's own
    await using registry = await getRegistry();
    expect(await registry.run.listActors()).toHaveLength(many + 1);
    const asker = await world.actor("asker");
    const counts = await asker.run(async ({ furrow }) => {
      await using remote = await furrow.getRegistry();
      const all = await remote.run.listActors();
      const named = await remote.run.findActors("many");
      const { actors } = (await furrow.watchActors("many").next()).value as { actors: { id: object }[] };
      const last = await furrow.queryActor("many");
      return [all.length, named.length, actors.length, named.at(-1)?.id.uuid, last.id?.uuid];
    });
    const last = `u${many - 1}`;
    expect(counts).toEqual([many + 2, many, many, last, last]);
  });

  test("to a lookup that is cancelled ends, and those of one peer wait for each other, but for no other peer", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill(20_000);
    await using peer = await connect(world);
    await using other = await connect(world);
    for (let id = 1; id <= 20; id++) peer.send([Kind.lookup, id, "many", false]);
    other.send([Kind.lookup, 1, "many", false]);
    await runsUntil(other, Kind.result, 1);
    const answered = (): number => peer.received.filter(([kind]) => kind === Kind.result).length;
    peer.send([Kind.cancel, 20, "enough"]);
    const runs = await runsUntil(peer, Kind.error, 20);
    expect(answered()).toBe(19);
    const order = runs.map(([name]) => name);
    expect(order.filter((name) => name.startsWith("result"))).toEqual(
      Array.from({ length: 19 }, (_one, n) => `result ${n + 1}`),
    );
    expect(order.filter((name) => name === "part 2")).toHaveLength(1);
  });

  test("to a call that is given up ends", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill(30_000);
    await using peer = await connect(world);
    peer.send([Kind.call, 1, "registrar.listActors", []]);
    await peer.take(Kind.part);
    peer.send([Kind.cancel, 1, "enough"]);
    const runtime = currentRuntime();
    await until(() => runtime.served === 0);
    peer.send([Kind.lookup, 2, "root", false]);
    const runs = await runsUntil(peer, Kind.result, 2);
    expect(
      runs.filter(([name]) => name === "part 1").reduce((sum, [, count]) => sum + count, 0),
    ).toBeLessThan(30_000 / partLength / 2);
  });
});

describe("what changes while a long answer arrives", () => {
  test("is part of what a lookup knows, for who asks for any and for who asks for all", async () => {
    await using registrar = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [registrar.addr] });
    registrar.onLookup = (peer, [, id, name]) =>
      peer.send(
        // as it was before: the answer has it
        [Kind.removed, name, "c", 1],
        [Kind.part, id, ["a", "b", "c"].map(form)],
        [Kind.removed, name, "b", 2],
        [Kind.added, name, form("e")],
        [Kind.part, id, [form("d")]],
        [Kind.removed, name, "d", 3],
        [Kind.added, name, form("f"), "a"],
        [Kind.result, id, [form("g")]],
        [Kind.removed, name, "g", 4],
      );
    const found = await queryActor("n");
    expect(found.id?.uuid).toBe("e");
    const { links } = Registrars.of(currentRuntime());
    expect(links[0]!.cache.get("n")!.map(({ id }) => id.uuid)).toEqual(["f", "a", "c", "e"]);
  });

  test("is told by a watch after its state", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill();
    await using peer = await connect(world);
    peer.send([Kind.watch, 1, "many"]);
    await peer.take(Kind.state);
    table();
    await using other = await RawPeer.register(world.unix, { name: "many", addrs: [addr] });
    other.send([Kind.unregister, 2]);
    const runs = await runsUntil(peer, Kind.change, 1);
    expect(runs.slice(-2)).toEqual([
      ["result 1", 1],
      ["change 1", 1],
    ]);
    expect((await peer.take(Kind.change))[2]).toBe(2);
  });

  test("is replaced by the whole state when it is too much", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill(20_000);
    await using peer = await connect(world);
    peer.pause();
    peer.send([Kind.watch, 1, "many"]);
    await using other = await RawPeer.register(world.unix, { name: "many", addrs: [addr] });
    for (let n = 0; n < 1_100; n++) {
      other.send([Kind.update, n + 2, { n }]);
      await other.take(Kind.result);
    }
    peer.resume();
    const runs = await runsUntil(peer, Kind.resync, 1);
    expect(runs.filter(([name]) => name === "change 1")).toEqual([]);
    const { revision } = table();
    expect(peer.received.at(-1)?.[2]).toBe(revision);
  });
});

describe("a watch whose state is long", () => {
  test("isn't begun, and is answered all the same, when it was given back before its turn", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill(20_000);
    await using peer = await connect(world);
    peer.send([Kind.lookup, 1, "many", false], [Kind.watch, 2, "many"], [Kind.unwatch, 2]);
    await runsUntil(peer, Kind.error, 2);
    expect(peer.received.filter(([kind]) => kind === Kind.state)).toEqual([]);
    expect(Registrars.of(currentRuntime()).service!.watching.size).toBe(0);
  });

  test("is sent once at a time, however often it is left behind", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    fill(20_000);
    await using other = await RawPeer.register(world.unix, { name: "many", addrs: [addr] });
    await using peer = await connect(world);
    const { link } = Array.from(currentRuntime().peers).find(({ id }) => id.name === "asker")!.channel;
    peer.send([Kind.watch, 1, "many"], [Kind.watch, 2, "*"]);
    await runsUntil(peer, Kind.result, 2);
    let id = 1;
    const change = async (): Promise<void> => {
      other.send([Kind.update, ++id, { id, text: "x".repeat(4_000) }]);
      await other.take(Kind.result);
    };
    peer.pause();
    while (link.pendingBytes <= 65_536) await change();
    // a list stands in front of both, while they are left behind and changes go on
    peer.send([Kind.lookup, 3, "many", false, true]);
    await change();
    peer.resume();
    for (let n = 0; n < 200; n++) await change();
    const actors = new Map<number, Map<string, unknown>>();
    const coming = new Map<number, [string, unknown[]][]>();
    const isCurrent = (): boolean =>
      [1, 2].every((watch) => {
        const form = actors.get(watch)?.get(other.sent.length > 0 ? lastUuid : "") as unknown[] | undefined;
        return ((form?.[5] as unknown[])?.[1] as { id?: number })?.id === id;
      });
    const lastUuid = table().all("many").at(-1)!.uuid;
    for (let at = 0; !isCurrent(); at++) {
      while (peer.received.length <= at) await peer.take();
      const [kind, watch, first, second] = peer.received[at] as [number, number, unknown, unknown];
      if (kind === Kind.state)
        coming.set(watch, [...(coming.get(watch) ?? []), ...(first as [string, unknown[]][])]);
      const rest = kind === Kind.resync ? second : kind === Kind.result ? (first as unknown[])[1] : undefined;
      if (rest !== undefined && watch !== 3) {
        const all = [...(coming.get(watch) ?? []), ...(rest as [string, unknown[]][])];
        coming.delete(watch);
        actors.set(watch, new Map(all.map(([, form]) => [form[0] as string, form])));
        expect(actors.get(watch)!.size).toBeGreaterThan(20_000);
      }
      if (kind === Kind.change) {
        const form = peer.received[at]![4] as unknown[];
        actors.get(watch)?.set(form[0] as string, form);
      }
    }
  });
});

describe("a list from another actor", () => {
  test("that is late is forgotten, since what has changed meanwhile isn't known", async () => {
    await using registrar = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [registrar.addr], limits: { probeTimeoutMs: 50 } });
    const rest: (() => void)[] = [];
    registrar.onLookup = (peer, [, id, name]) => {
      peer.send([Kind.part, id, ["a", "b"].map(form)]);
      rest.push(() =>
        peer.send([Kind.removed, name, "b", 2], [Kind.result, id, [form("c")]], [Kind.result, 1_000, null]),
      );
    };
    expect((await failure(queryActor("n"))).name).toBe("TimeoutError");
    rest[0]!();
    const { cache } = Registrars.of(currentRuntime()).links[0]!;
    await Bun.sleep(50);
    expect(cache.has("n")).toBeFalse();
  });

  test("is waited for as long as its parts come", async () => {
    await using registrar = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [registrar.addr], limits: { probeTimeoutMs: 100 } });
    const answer = async (peer: RawPeer, id: unknown): Promise<void> => {
      for (let n = 0; n < 5; n++) {
        peer.send([Kind.part, id, [form(`u${n}`)]]);
        await Bun.sleep(100);
      }
      peer.send([Kind.result, id, [form("last")]]);
    };
    registrar.onLookup = (peer, [, id]) => void answer(peer, id);
    // longer than three times 100 ms
    expect((await queryActor("n")).id?.uuid).toBe("last");
  });

  test("that is too large is an error for who asked for it, and the rest is left out", async () => {
    await using registrar = new RawRegistrar();
    await using _ = await openRootActor({
      registryAddrs: [registrar.addr],
      limits: { maxFrameBytes: 65_536 },
    });
    const cancelled = Promise.withResolvers<unknown>();
    registrar.onLookup = (peer, [, id]) => {
      const part = Array.from({ length: 300 }, (_one, n) => form(`u${n}`));
      for (let n = 0; n < 6; n++) peer.send([Kind.part, id, part]);
      peer.send([Kind.result, id, []]);
      void peer.take(Kind.cancel).then(cancelled.resolve);
    };
    const error = await failure(queryActor("n"));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toMatch(/^a list from raw-registrar.* takes more than maxFrameBytes 65536$/);
    await cancelled.promise;
    expect(registrar.peers.at(-1)!.isOpen).toBeTrue();
  });

  test.each([
    ["a part that isn't a list", (id: unknown): RawMessage[] => [[Kind.part, id, "x"]]],
    [
      "a rest that isn't a list",
      (id: unknown): RawMessage[] => [
        [Kind.part, id, []],
        [Kind.result, id, 1],
      ],
    ],
    ["a malformed part", (id: unknown): RawMessage[] => [[Kind.part, id, [1]]]],
  ])("ends the connection for %s", async (_, answer) => {
    await using registrar = new RawRegistrar();
    await using _actor = await openRootActor({
      registryAddrs: [registrar.addr],
      limits: { probeTimeoutMs: 50 },
    });
    registrar.onLookup = (peer, [, id]) => peer.send(...answer(id));
    await failure(queryActor("n", { timeout: 500 }));
    await registrar.peers.at(1)?.ended;
    expect(registrar.peers.some(({ isOpen }) => !isOpen)).toBeTrue();
  });
});

test("a watch of very many shows all of them", async () => {
  await using world = new World();
  await using _ = await openRootActor({ ...world.options, name: "root" });
  fill(1_000);
  const events = watchActors("many");
  const { value } = await events.next();
  expect(value.type === "sync" && value.actors.length).toBe(1_000);
  await events.return?.();
});
