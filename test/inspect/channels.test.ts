/** The channels of `node:diagnostics_channel`: what is published, and that a process that uses none loads nothing for them. */
import diagnostics from "node:diagnostics_channel";
import { join, relative } from "node:path";

import { afterEach, describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { currentActor, findActor, openNursery, openRootActor, type Portal } from "../../src/index.ts";
import type { StallMessage } from "../../src/inspect/channels.ts";
import { failure } from "../support/outcome.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const source = join(import.meta.dir, "../../src");
const subscribes = new URL("../fixtures/subscribes.ts", import.meta.url);
type Subscribes = typeof import("../fixtures/subscribes.ts");
const modules = new URL("../fixtures/modules.ts", import.meta.url);
type Modules = typeof import("../fixtures/modules.ts");
const measured = new URL("../fixtures/measured.ts", import.meta.url);
type Measured = typeof import("../fixtures/measured.ts");

const undo: (() => void)[] = [];
afterEach(() => {
  for (const one of undo.splice(0)) one();
});

/** Everything that this process publishes on a channel during the test. */
function listen<T = Record<string, unknown>>(name: string): T[] {
  const messages: T[] = [];
  const onMessage = (message: unknown): void => void messages.push(message as T);
  diagnostics.subscribe(`furrow.${name}`, onMessage);
  undo.push(() => diagnostics.unsubscribe(`furrow.${name}`, onMessage));
  return messages;
}

describe("channels of requests", () => {
  test("an actor that imports node:diagnostics_channel hears of what it serves", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "shop" });
    const portal = await nursery.startActor<Subscribes>("actor", { module: subscribes });
    await portal.run.span();
    await failure(portal.run.fail());
    for await (const _ of portal.stream.spanStream());
    await using dialog = await portal.open.dialog();
    await dialog.result;
    const common = { peer: "shop", side: "callee" };
    const call = (fn: string, error?: string): unknown[] => [
      { channel: "server.call.start", fn, verb: "run", ...common },
      { channel: "server.call.end", fn, verb: "run", ...common, ...(error && { error }) },
    ];
    const exchange = (fn: string, verb: string): unknown[] => [
      { channel: "stream.start", fn, verb, ...common },
      { channel: "stream.end", fn, verb, ...common },
    ];
    expect(await portal.run.take()).toEqual([
      ...call("span"),
      ...call("fail", "TypeError"),
      ...exchange("spanStream", "stream"),
      ...exchange("dialog", "open"),
    ] as never);
  });

  test("a store that is bound to the start of what is served holds for all that it awaits", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Subscribes>("actor", { module: subscribes });
    expect(await portal.run.span()).toBe("span of span");
    const spans: unknown[] = [];
    for await (const span of portal.stream.spanStream()) spans.push(span);
    expect(spans).toEqual(["span of spanStream", "span of spanStream"]);
  });

  test("an actor hears of what it asks others for", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Subscribes>("actor", { module: subscribes });
    await portal.run.callsChild();
    const heard = await portal.run.take();
    const asked = heard.filter(({ side }) => side === "caller");
    expect(asked.map(({ channel, fn, peer }) => `${channel} ${peer}.${fn}`)).toEqual([
      "client.call.start grandchild.add",
      "client.call.end grandchild.add",
      "stream.start grandchild.ticks",
      "stream.end grandchild.ticks",
    ]);
  });

  test("the actor is observed only while a channel has subscribers", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, enableModules: [measured.href] });
    const runtime = currentRuntime();
    expect(runtime.observer).toBeUndefined();
    await using portal = await findActor<Measured>("root", { raiseOnNone: true });
    const calls = listen<{ fn: string; ms?: number }>("server.call.end");
    expect(runtime.observer).toBeDefined();
    await portal.run.add(1, 2);
    expect(calls.map(({ fn }) => fn)).toEqual(["add"]);
    undo.pop()!();
    expect(runtime.observer).toBeUndefined();
    await portal.run.add(1, 2);
    expect(calls).toHaveLength(1);
  });

  test("the built-in functions aren't published", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, enableModules: [measured.href] });
    const calls = ["server.call.start", "client.call.start"].map((name) => listen(name));
    await using portal = await findActor<Measured>("root", { raiseOnNone: true });
    await (portal as unknown as Portal).run["furrow.ping"]();
    expect(calls).toEqual([[], []]);
  });

  test("a stream whose writer waits for longer than a moment is published once as stalled", async () => {
    using _timing = setTiming({ stallMs: 40 });
    await using world = new World();
    await using nursery = await openNursery({
      ...world.options,
      name: "market",
      enableModules: [measured.href],
    });
    const stalls = listen<StallMessage>("stream.stall");
    const web = await nursery.startActor<Measured>("web", { module: measured });
    await web.run.readOne("market");
    await until(() => stalls.length > 0);
    const [stall] = stalls;
    expect(stall).toMatchObject({
      actor: currentActor().id,
      peer: web.id,
      fn: "ticks",
      verb: "stream",
      side: "callee",
      queued: 1,
      credit: { messages: 0 },
    });
    expect(stall!.waitedMs).toBeGreaterThanOrEqual(40);
    // it goes on, and stalls again
    await web.run.readOn(100);
    await until(() => stalls.length > 1);
    expect(stalls[1]!.sent).toBeGreaterThan(stall!.sent);
  });
});

describe("channels of the tree, the registry and the connections", () => {
  test("tell of children, of changes of the table, and of peers that come and go", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, strategy: "one-for-one" });
    const started = listen<{ child: { name: string } }>("actor.started");
    const ended = listen<{ child: { name: string }; error?: Error }>("actor.ended");
    const restarted = listen<{ child: { name: string } }>("actor.restarted");
    const changes = listen<{ type: string; actor: { name: string } }>("registry.change");
    const opened = listen<{ actor: { name: string }; transport: string }>("peer.open");
    const closed = listen<{ actor: { name: string }; reason: string }>("peer.close");
    const child = await nursery.startActor<Measured>("child", {
      module: measured,
      restart: { when: "always", backoffMs: [0, 0] },
    });
    await until(() => started.length === 1);
    process.kill(child.id.pid, "SIGKILL");
    await until(() => restarted.length === 1);
    const named = (messages: { child: { name: string } }[]) => messages.map((one) => one.child.name);
    expect([named(started), named(ended), named(restarted)]).toEqual([["child"], ["child"], ["child"]]);
    expect(ended[0]!.error?.message).toContain("SIGKILL");
    const ofChild = changes.filter(({ actor }) => actor.name === "child").map(({ type }) => type);
    expect(ofChild).toEqual(["up", "down", "up"]);
    expect(opened.filter(({ actor }) => actor.name === "child").length).toBeGreaterThanOrEqual(2);
    expect(opened[0]!.transport).toBe("unix");
    expect(closed[0]).toMatchObject({ actor: { name: "child" }, reason: "peer-died" });
  });
});

describe("a program that uses no channel", () => {
  test("has nothing loaded for them, and one that names the module in a file of its own has", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const loaded = async (portal: Portal<Modules>): Promise<string[]> =>
      (await portal.run.modules())
        .map((file) => relative(source, file))
        .filter((file) => file.includes("channels.ts"));
    const plain = await nursery.startActor<Modules>("plain", { module: modules });
    expect(await loaded(plain)).toEqual([]);
    const file = join(world.dir, "uses.ts");
    await Bun.write(file, 'import "node:diagnostics_channel";\nexport const nothing = 1;\n');
    const uses = await nursery.startActor<Modules>("uses", { modules: [modules, file] });
    expect((await loaded(uses)).toSorted()).toEqual(["inspect/channels.ts", "tree/channels.ts"]);
    const told = await nursery.startActor<Modules>("told", {
      module: modules,
      env: { FURROW_CHANNELS: "1" },
    });
    expect(await loaded(told)).toHaveLength(2);
    const off = await nursery.startActor<Modules>("off", {
      modules: [modules, file],
      env: { FURROW_CHANNELS: "0" },
    });
    expect(await loaded(off)).toEqual([]);
  });
});
