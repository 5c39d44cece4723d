/** An actor with a limit on its concurrency runs that many functions at a time, in the order in which calls arrive. */
import { describe, expect, test } from "bun:test";

import {
  ActorDrainingError,
  findActor,
  LimitError,
  type Nursery,
  openNursery,
  type Portal,
  TransportClosedError,
} from "../../src/index.ts";
import type { Limits } from "../../src/limits.ts";
import { arrivals, openGate } from "../fixtures/gates.ts";
import { drain as readAll, failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const gates = new URL("../fixtures/gates.ts", import.meta.url);
const module = new URL("../fixtures/drains.ts", import.meta.url);
type Drains = typeof import("../fixtures/drains.ts");

async function nurseryIn(world: World, limits: Partial<Limits> = {}): Promise<Nursery> {
  return await openNursery({ ...world.options, name: "gates", enableModules: [gates], limits });
}

/** What has run there, in order: the call for it is the last in the queue. */
async function notesOf(portal: Portal<Drains>): Promise<string[]> {
  return (await portal.run.notes()).order;
}

/** What a call of an unknown function fails with. It doesn't wait for its turn, so the calls before it have arrived. */
async function unknown(portal: Portal<Drains>): Promise<string> {
  const { missing } = portal.run as unknown as Record<string, () => Promise<unknown>>;
  return (await failure(missing!())).name;
}

/** Another program, connected to the serial actor. */
async function otherCaller(world: World) {
  const other = await world.actor("other");
  await other.run(async ({ furrow, keep }) => {
    keep["portal"] = await furrow.findActor("serial", { raiseOnNone: true });
  });
  return other;
}

describe("concurrency: 1", () => {
  test("runs calls, streams and dialogs one after the other, in the order of arrival, whoever makes them", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const serial = await nursery.startActor<Drains>("serial", { module, concurrency: 1 });
    const other = await otherCaller(world);
    const one = serial.run.noted("one", "serial");
    await arrivals("serial");
    const two = serial.stream.notedStream("two", "serial");
    const second = two.next();
    const three = serial.open.notedDialog("three", "serial");
    const four = serial.run.add(1, 2);
    expect(await unknown(serial)).toBe("NotExposedError");
    const five = other.run(({ keep }) => (keep["portal"] as Portal<Drains>).run.noted("five", "serial"));
    openGate("serial");
    await one;
    expect(await second).toEqual({ done: false, value: "two" });
    expect((await readAll(two)).values).toEqual([]);
    await using dialog = await three;
    await dialog.send("hello");
    await dialog.end();
    expect(await dialog.result).toEqual(["hello"]);
    expect(await four).toBe(3);
    await five;
    expect(await serial.run.notes()).toEqual({
      order: ["one", "two", "three", "five"].flatMap((name) => [`${name} begins`, `${name} ends`]),
      mostAtOnce: 1,
    });
  });

  test("goes on with the next after a call that fails, and answers an unknown name at once", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const serial = await nursery.startActor<Drains>("serial", { module, concurrency: 1 });
    const running = serial.run.noted("one", "after failures");
    await arrivals("after failures");
    expect(await unknown(serial)).toBe("NotExposedError");
    const failing = failure(serial.run.ask("the name \u0000"));
    const last = serial.run.add(1, 2);
    openGate("after failures");
    await running;
    expect((await failing).name).toBe("RemoteActorError");
    expect(await last).toBe(3);
  });

  test("never runs a waiting call that its caller gives up, or whose caller is gone", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const serial = await nursery.startActor<Drains>("serial", { module, concurrency: 1 });
    const other = await otherCaller(world);
    const running = serial.run.noted("one", "given up");
    await arrivals("given up");
    const controller = new AbortController();
    const { run, stream } = serial.with({ signal: controller.signal });
    const waiting = [
      failure(run.noted("two", "given up")),
      failure(stream.notedStream("three", "given up").next()),
    ];
    const timedOut = await failure(serial.with({ timeout: 1 }).run.noted("four", "given up"));
    expect(timedOut).toMatchObject({ name: "TimeoutError", stage: "call" });
    await other.run(({ keep }) => void (keep["portal"] as Portal<Drains>).run.noted("five", "given up"));
    controller.abort("no more");
    for (const reason of await Promise.all(waiting)) expect<unknown>(reason).toBe("no more");
    await other.kill();
    await until(async () => (await findActor("other")) === null);
    const six = serial.run.noted("six", "given up");
    openGate("given up");
    await Promise.all([running, six]);
    expect(await notesOf(serial)).toEqual(["one begins", "one ends", "six begins", "six ends"]);
  });

  test("refuses more waiting calls than maxCallsInFlight with a LimitError", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world, { maxCallsInFlight: 3 });
    const serial = await nursery.startActor<Drains>("serial", { module, concurrency: 1 });
    const calls = [1, 2, 3].map((n) => serial.run.noted(String(n), "bounded"));
    await arrivals("bounded");
    expect(await failure(serial.run.add(1, 2))).toBeInstanceOf(LimitError);
    openGate("bounded");
    await Promise.all(calls);
    expect(await serial.run.add(1, 2)).toBe(3);
  });

  test("refuses more waiting calls of all callers together, too", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world, { maxCallsInFlight: 3 });
    const serial = await nursery.startActor<Drains>("serial", { module, concurrency: 1 });
    const other = await otherCaller(world);
    const calls = [1, 2, 3].map((n) => serial.run.noted(String(n), "bounded together"));
    await arrivals("bounded together");
    // two wait already: one of these is the third, the other is refused
    const refusal = other.run(async ({ keep }) => {
      const { run } = keep["portal"] as Portal<Drains>;
      const text = (call: Promise<unknown>): Promise<unknown> => call.catch((error: Error) => error.message);
      keep["third"] = text(run.add(1, 2));
      return await text(run.add(1, 2));
    });
    expect(await refusal).toBe("3 calls wait for their turn (concurrency 1): maxCallsInFlight is 3");
    openGate("bounded together");
    await Promise.all(calls);
    expect(await other.run(({ keep }) => keep["third"] as Promise<number>)).toBe(3);
  });

  test("lets accepted calls run when the actor drains, and refuses them when it ends", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    for (const [gate, end] of [
      ["drained", (portal: Portal) => portal.drainActor()],
      ["ended", (portal: Portal) => portal.cancelActor()],
    ] as const) {
      const serial = await nursery.startActor<Drains>(gate, { module, concurrency: 1 });
      const running = serial.run.work(gate).catch((error: Error) => error);
      await arrivals(gate);
      const waiting = [serial.run.add(1, 2), serial.stream.ticks(true).next()].map((call) =>
        call.catch((error: Error) => error),
      );
      const ended = end(serial);
      if (gate === "drained") {
        await until(async () => (await unknown(serial)) === "ActorDrainingError");
        openGate(gate);
        expect(await running).toBe("done at drained");
        expect(await Promise.all(waiting)).toEqual([3, { done: false, value: "first" }]);
      } else {
        for (const refusal of await Promise.all(waiting)) expect(refusal).toBeInstanceOf(ActorDrainingError);
        expect(await running).toMatchObject({ name: "ContextCancelledError" });
      }
      expect(await ended).toBeTrue();
    }
  });

  test("is a clear error for a call that calls its own actor, instead of a wait for ever", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const serial = await nursery.startActor<Drains>("serial", { module, concurrency: 1 });
    const error = await failure(serial.run.askSelf());
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toMatch(
      /serial#\w+ runs one call at a time \(concurrency 1\), and this one calls the actor itself/,
    );
    // it can still be ended from there
    await serial.run.drainSelf().catch(() => {});
    await nursery.join();
  });

  test("holds again after a restart, and isn't inherited by the actors below", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const first = await nursery.startActor<Drains>("serial", { module, concurrency: 1, restart: "always" });
    await first.cancelActor();
    await until(async () => {
      await using found = await findActor("serial");
      return found !== null && found.id.uuid !== first.id.uuid;
    });
    await using serial = await findActor<Drains>("serial", { raiseOnNone: true });
    expect(await failure(serial.run.askSelf())).toBeInstanceOf(LimitError);
    await serial.run.startBelow("below");
    await using below = await findActor<Drains>("below", { raiseOnNone: true });
    expect(await below.run.askSelf()).toBe(7);
  });
});

describe("concurrency", () => {
  test("of two runs two at a time, and an actor without it any number", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    for (const [name, options, most] of [
      ["two", { concurrency: 2 }, 2],
      ["any", {}, 5],
    ] as const) {
      const portal = await nursery.startActor<Drains>(name, { module, ...options });
      const calls = [1, 2, 3, 4, 5].map((n) => portal.run.noted(`${name} ${n}`, `at once: ${name}`));
      await arrivals(`at once: ${name}`, most);
      openGate(`at once: ${name}`);
      await Promise.all(calls);
      expect((await portal.run.notes()).mostAtOnce).toBe(most);
    }
  });

  test("must be a positive integer", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    for (const concurrency of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(await failure(nursery.startActor("serial", { module, concurrency }))).toBeInstanceOf(RangeError);
  });

  test("rejects what waits when the actor dies", async () => {
    await using world = new World();
    await using nursery = await nurseryIn(world);
    const serial = await nursery.startActor<Drains>("serial", {
      module,
      concurrency: 1,
      restart: "on-failure",
    });
    const calls = [1, 2].map((n) => failure(serial.run.noted(String(n), "dies")));
    await arrivals("dies");
    process.kill(serial.id.pid, "SIGKILL");
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(TransportClosedError);
  });
});
