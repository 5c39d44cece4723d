/**
 * What things cost in counts, which are the same on every machine: writes, messages, bytes, copies, allocations,
 * modules. A change that needs more of something says so by raising its budget here.
 */
import { describe, expect, test } from "bun:test";
import { join, relative } from "node:path";

import { currentRuntime } from "../src/actor/current.ts";
import { Registrars } from "../src/discovery/registrars.ts";
import { findActor, openNursery, openRootActor, type Portal, queryActor } from "../src/index.ts";
import type { Inspected } from "../src/inspect/inspection.ts";
import { kinds, openScene } from "./support/scene.ts";
import { World } from "./support/world.ts";

/** At most so many of each. */
const budgets = {
  /** Writes to the socket, at either end, for a call and its answer; and for 64 that are made in one turn. */
  writesPerCall: 1,
  writesPerTurn: 1,
  /** Bytes there and back, with the frames' lengths, for a call of `echo` with 32 characters. */
  callBytes: 48,
  answerBytes: 41,
  /** Bytes there for a lookup, and back for its answer, beside those of the name and of the addresses. */
  lookupBytes: 12,
  registrationBytes: 80,
  /** Messages of a stream's reader that let more items come, for 1,024 of them. */
  allowancesPer1024: 32,
  /** How often JavaScript copies each byte of a large binary: to send it; to receive one that fits into a buffer of the kernel's, and one that doesn't. */
  copiesSent: 0,
  copiesReceivedWhole: 0.01,
  copiesReceivedInChunks: 1.01,
  /** Bytes of memory newly used for each byte, beside those of these copies: what is received lies in chunks first. */
  memorySent: 0.5,
  memoryReceived: 1.5,
  /** Bytes of objects for a lookup, half as much again as measured: from the cache; asked of the registrar; answered there. */
  heapPerHit: 420,
  heapPerQuestion: 3_650,
  heapPerAnswer: 1_320,
  /** The same for a call, at who makes it and at who serves it, while nobody looks at either. */
  heapPerCall: 2_200,
  heapPerServedCall: 700,
  /** Files of furrow that a child loads before its own modules. */
  childModules: 70,
};

const root = join(import.meta.dir, "..");
const counted = new URL("./fixtures/counted.ts", import.meta.url);
type Counted = typeof import("./fixtures/counted.ts");
type Meter = ReturnType<Counted["meter"]>;

/** Nothing that a process with this variable allocates is collected: what it uses is what it allocated. */
const withoutCollection = { BUN_JSC_useGC: "0" };

/** How often this process has written to an actor. */
function writesTo({ id }: Portal<Counted>): number {
  return currentRuntime().peers.get(id.uuid)!.channel.link.writes;
}

describe("a call", () => {
  /** The writes at this end and at the other that `work` costs. */
  async function writesOf(portal: Portal<Counted>, work: () => Promise<unknown>): Promise<number[]> {
    const there = await portal.run.writes();
    const here = writesTo(portal);
    await work();
    const written = writesTo(portal) - here;
    // the answer to the first question is a write, too
    return [written, (await portal.run.writes()) - there - 1];
  }

  test("costs one write at each end, and so do 64 of one turn", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Counted>("counted", { module: counted });
    const call = (): Promise<unknown> => portal.run.echo("x".repeat(32));
    for (const writes of await writesOf(portal, call))
      expect(writes).toBeLessThanOrEqual(budgets.writesPerCall);
    const turn = (): Promise<unknown> => Promise.all(Array.from({ length: 64 }, call));
    for (const writes of await writesOf(portal, turn))
      expect(writes).toBeLessThanOrEqual(budgets.writesPerTurn);
  });

  test("costs a message there and one back, of a few bytes beside its values", async () => {
    await using scene = await openScene();
    await using portal = await findActor<Counted>("target", { raiseOnNone: true });
    await portal.run.echo("");
    scene.target.take();
    await portal.run.echo("x".repeat(32));
    const { there, back } = scene.target.take();
    expect(kinds({ there, back })).toEqual({ there: ["call"], back: ["result"] });
    // kind, id, name and arguments: nothing for traces, which nobody makes here
    expect(there.messages[0]).toHaveLength(4);
    expect(there.bytes).toBeLessThanOrEqual(budgets.callBytes);
    expect(back.bytes).toBeLessThanOrEqual(budgets.answerBytes);
  });
});

describe("a stream", () => {
  test("costs a message for each item, and one there for every so many items that may come", async () => {
    await using scene = await openScene();
    await using portal = await findActor<Counted>("target", { raiseOnNone: true });
    await portal.run.echo("");
    scene.target.take();
    let received = 0;
    for await (const _ of portal.stream.numbers(1_024)) received++;
    expect(received).toBe(1_024);
    // answered behind all that the stream sent
    await portal.run.echo("");
    const { there, back } = kinds(scene.target.take());
    const [first, ...rest] = there.slice(0, -1);
    expect([first, new Set(rest)]).toEqual(["stream", new Set(["allowItems"])]);
    expect(rest.length).toBeLessThanOrEqual(budgets.allowancesPer1024);
    expect(back).toEqual([...Array.from({ length: 1_024 }, () => "item"), "result", "result"]);
  });
});

const silence = { there: [], back: [] };

describe("a lookup", () => {
  test("costs one request and one answer when the registrar is asked, and nothing from then on", async () => {
    await using scene = await openScene();
    for (const name of ["target", "nobody"]) {
      expect((await queryActor(name)).id?.name).toBe(name === "target" ? name : undefined);
      expect(kinds(await scene.passed())).toEqual({ there: ["lookup"], back: ["result"] });
      for (let made = 0; made < 100; made++) await queryActor(name);
      expect(kinds(await scene.passed())).toEqual(silence);
    }
  });

  test("costs one request for all who ask for a name at once, and one write for all names of a turn", async () => {
    await using scene = await openScene();
    const { link } = Registrars.of(currentRuntime()).onlyLink!.session.peer.channel;
    await Promise.all(Array.from({ length: 64 }, () => queryActor("target")));
    expect(kinds(await scene.passed())).toEqual({ there: ["lookup"], back: ["result"] });
    const { writes } = link;
    await Promise.all(Array.from({ length: 64 }, (_, n) => queryActor(`nobody${n}`)));
    expect(link.writes - writes).toBeLessThanOrEqual(budgets.writesPerTurn);
    expect((await scene.passed()).there.messages).toHaveLength(64);
  });

  test("costs a few bytes beside the name and the addresses", async () => {
    await using scene = await openScene();
    scene.registrar.take();
    await queryActor("target");
    const { there, back } = scene.registrar.take();
    expect(there.bytes).toBeLessThanOrEqual("target".length + budgets.lookupBytes);
    expect(back.bytes).toBeLessThanOrEqual(scene.target.addr.length + 16 + budgets.registrationBytes);
  });
});

describe("findActor", () => {
  test("costs one question to the registrar and two hellos when nothing is known, and nothing while connected", async () => {
    await using scene = await openScene();
    const call = async (): Promise<void> => {
      await using portal = await findActor<Counted>("target", { raiseOnNone: true });
      await portal.run.echo("");
    };
    await call();
    expect(kinds(await scene.passed())).toEqual({ there: ["lookup"], back: ["result"] });
    expect(kinds(scene.target.take())).toEqual({ there: ["hello", "call"], back: ["hello", "result"] });
    for (let made = 0; made < 10; made++) await call();
    expect(kinds(await scene.passed())).toEqual(silence);
    const each = <T>(one: T): T[] => Array.from({ length: 10 }, () => one);
    expect(kinds(scene.target.take())).toEqual({ there: each("call"), back: each("result") });
    expect(scene.target.connections).toBe(1);
  });
});

describe("a large binary", () => {
  test("is not copied at the sender, and at the receiver only where it spans chunks, once", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = (name: string): Promise<Portal<Counted>> =>
      nursery.startActor<Counted>(name, { module: counted, env: withoutCollection });
    const ends = await Promise.all([start("sender"), start("receiver")]);
    const meters = (): Promise<Meter[]> => Promise.all(ends.map((end) => end.run.meter()));
    const sizes = { 32_768: budgets.copiesReceivedWhole, 1_048_576: budgets.copiesReceivedInChunks };
    for (const [size, copiesReceived] of Object.entries(sizes)) {
      const bytes = Number(size);
      const count = 33_554_432 / bytes;
      const [{ run }] = ends;
      await run.sendBinaries("receiver", 16, bytes);
      const before = await meters();
      await run.sendBinaries("receiver", count, bytes);
      const [sent, received] = (await meters()).map((after, at) => {
        const copies = (after.copied - before[at]!.copied) / (bytes * count);
        return { copies, memory: (after.resident - before[at]!.resident) / (bytes * count) - copies };
      });
      expect(sent!.copies).toBeLessThanOrEqual(budgets.copiesSent);
      expect(sent!.memory).toBeLessThanOrEqual(budgets.memorySent);
      expect(received!.copies).toBeLessThanOrEqual(copiesReceived);
      expect(received!.memory).toBeLessThanOrEqual(budgets.memoryReceived);
    }
  });
});

describe("the memory of a lookup", () => {
  test("is bounded: from the cache, at who asks the registrar, and at the registrar", async () => {
    await using world = new World();
    await world.actor("hub", { enableModules: [counted.href] }, withoutCollection);
    await world.actor("asker", { enableModules: [counted.href] }, withoutCollection);
    await using _ = await openRootActor(world.options);
    await using hub = await findActor<Counted>("hub", { raiseOnNone: true });
    await using asker = await findActor<Counted>("asker", { raiseOnNone: true });
    const count = 2_000;
    await hub.run.register("name", 2 * count);
    const heaps = async (): Promise<number[]> => [
      (await asker.run.meter()).heap,
      (await hub.run.meter()).heap,
    ];
    const growth = async (work: () => Promise<unknown>, calls: number): Promise<number[]> => {
      const before = await heaps();
      await work();
      return (await heaps()).map((heap, at) => (heap - before[at]!) / calls);
    };
    // the first ones are compiled, which costs memory of its own
    await asker.run.lookUp("name", 0, count);
    const [question, answer] = await growth(() => asker.run.lookUp("name", count, count), count);
    await asker.run.lookUpAgain("name0", 10 * count);
    const [hit] = await growth(() => asker.run.lookUpAgain("name0", 10 * count), 10 * count);
    expect(question!).toBeLessThanOrEqual(budgets.heapPerQuestion);
    expect(answer!).toBeLessThanOrEqual(budgets.heapPerAnswer);
    expect(hit!).toBeLessThanOrEqual(budgets.heapPerHit);
  });
});

describe("the memory of a call", () => {
  test("is bounded, and the same as before once those who looked have left", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = (name: string): Promise<Portal<Counted>> =>
      nursery.startActor<Counted>(name, { module: counted, env: withoutCollection });
    const [caller, callee] = await Promise.all([start("caller"), start("callee")]);
    const count = 1_500;
    const heaps = async (): Promise<number[]> => [
      (await caller.run.meter()).heap,
      (await callee.run.meter()).heap,
    ];
    const perCall = async (): Promise<number[]> => {
      const before = await heaps();
      await caller.run.callMany("callee", count);
      return (await heaps()).map((heap, at) => (heap - before[at]!) / count);
    };
    const expectBounded = async (): Promise<void> => {
      const [made, served] = await perCall();
      expect(made!).toBeLessThanOrEqual(budgets.heapPerCall);
      expect(served!).toBeLessThanOrEqual(budgets.heapPerServedCall);
    };
    // the first ones are compiled, which costs memory of its own
    await caller.run.callMany("callee", 2 * count);
    await expectBounded();
    const looks = [caller, callee].map((portal) =>
      (portal as unknown as Portal<Inspected>).stream["furrow.inspect"](3_600_000),
    );
    for (const look of looks) await look.next();
    await caller.run.callMany("callee", count);
    for (const look of looks) await look.return();
    await caller.run.callMany("callee", 2 * count);
    await expectBounded();
  });
});

describe("a child", () => {
  test("loads no more modules than it needs, and no package", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = new URL("./fixtures/modules.ts", import.meta.url);
    const child = await nursery.startActor<typeof import("./fixtures/modules.ts")>("child", { module });
    await child.run.nothing();
    const loaded = (await child.run.modules()).map((file) => relative(root, file)).toSorted();
    const [own, packages, others] = [
      loaded.filter((file) => file.startsWith("src/")),
      loaded.filter((file) => file.startsWith("node_modules/")),
      loaded.filter((file) => !/^(src|node_modules)\//.test(file)),
    ];
    expect(others).toEqual(["test/fixtures/modules.ts"]);
    // msgpackr is loaded by the first message that needs it
    expect(packages).toEqual([]);
    expect(own.length, own.join("\n")).toBeLessThanOrEqual(budgets.childModules);
    // a child that reports nothing would pass everything
    expect(own).toContain("src/tree/child-main.ts");
  });

  test("starts and answers without node:fs and its like", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = new URL("./fixtures/modules.ts", import.meta.url);
    const preload = Bun.fileURLToPath(new URL("./fixtures/builtins.ts", import.meta.url));
    const child = await nursery.startActor<
      typeof import("./fixtures/modules.ts") & typeof import("./fixtures/builtins.ts")
    >("child", { modules: [module, preload], execArgv: ["--preload", preload] });
    await child.run.nothing();
    expect(await child.run.builtins()).not.toContain("node:fs");
    const files = (await child.run.modules()).filter((file) => file.startsWith(join(root, "src/")));
    const texts = await Promise.all(files.map((file) => Bun.file(file).text()));
    // nor any other of Bun's own modules, but the one that calls the C library
    const imported = texts.flatMap((text) => text.match(/^import (?!type ).*"((node|bun):.*)";$/gm) ?? []);
    expect(imported).toEqual([expect.stringContaining('"bun:ffi"')]);
    // nothing would pass if what is asked for weren't noted
    expect(texts.some((text) => text.includes('getBuiltinModule("node:fs")'))).toBeTrue();
  });
});
