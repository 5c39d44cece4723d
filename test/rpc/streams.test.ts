/** The rows of docs/semantics.md on streams, one test each, and what follows from them. */
import { describe, expect, test } from "bun:test";

import {
  ContextCancelledError,
  EncodeError,
  findActor,
  NotExposedError,
  openNursery,
  openRootActor,
  type Portal,
  RemoteActorError,
  TimeoutError,
  TransportClosedError,
  waitForActor,
} from "../../src/index.ts";
import { testTree } from "../../src/testing.ts";
import { type Program, until, World } from "../support/world.ts";
import { drain, failure } from "../support/outcome.ts";

const module = new URL("../fixtures/flows.ts", import.meta.url);
type Flows = typeof import("../fixtures/flows.ts");

async function remote(
  world: World,
  env: Readonly<Record<string, string>> = {},
): Promise<{ program: Program; portal: Portal<Flows> }> {
  const program = await world.actor("far", { enableModules: [module.href] }, env);
  return { program, portal: await findActor<Flows>("far", { raiseOnNone: true }) };
}

/** The record of a program whose actor has ended. */
async function eventsOf(program: Program): Promise<string[]> {
  return await program.run(
    async ({ args }) => ((await import(args[0] as string)) as Flows).events(),
    module.href,
  );
}

describe("stream", () => {
  test("a normal end delivers every value in order, then the return value", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    expect((await drain(portal.stream.count(1_000))).values).toEqual(
      Array.from({ length: 1_000 }, (_, n) => n),
    );
    const stream = portal.stream.count(2);
    expect([await stream.next(), await stream.next(), await stream.next(), await stream.next()]).toEqual([
      { done: false, value: 0 },
      { done: false, value: 1 },
      { done: true, value: 2 },
      { done: true, value: undefined as unknown as number },
    ]);
    expect(await portal.run.events()).toEqual([
      "count returned",
      "count finally",
      "count returned",
      "count finally",
    ]);
  });

  test("an error that the callee throws arrives once, after the values before it", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const stream = portal.stream.count(100, 70);
    const { values, error } = await drain(stream);
    expect(values).toHaveLength(70);
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error?.cause).toBeInstanceOf(RangeError);
    expect(await stream.next()).toEqual({ done: true, value: undefined as unknown as number });
    expect(await portal.run.events()).toEqual(["count finally"]);
  });

  for (const [how, leave] of [
    [
      "breaks",
      async (stream) => {
        for await (const _ of stream) break;
      },
    ],
    [
      "throws",
      async (stream) => {
        for await (const _ of stream) throw new Error("mine");
      },
    ],
    [
      "returns the iterator",
      async (stream) => {
        await stream.next();
        await stream.return(0);
      },
    ],
    [
      "disposes it",
      async (stream) => {
        await using held = stream;
        await held.next();
      },
    ],
  ] satisfies [string, (stream: AsyncGenerator<unknown, unknown, undefined>) => Promise<void>][]) {
    test(`a caller that ${how} leaves the loop only when the generator has ended, finally included`, async () => {
      await using world = new World();
      await using nursery = await openNursery(world.options);
      const portal = await nursery.startActor<Flows>("far", { module });
      for (const stream of [
        portal.stream.endless(),
        portal.stream.count(1_000_000),
        portal.stream.waiting(),
      ]) {
        const error = await leave(stream).catch((thrown: unknown) => thrown);
        expect(error instanceof Error ? error.message : undefined).toBe(
          how === "throws" ? "mine" : undefined,
        );
      }
      // the generator runs ahead of its reader, so the last one is met while it waits
      const ends = ["count finally", "waiting ContextCancelledError", "waiting finally"];
      expect(await portal.run.events()).toEqual(ends);
      const { currentActor } = await import("../../src/index.ts");
      expect(currentActor().stats().callsInFlight).toBe(0);
    });
  }

  test("a caller's abort ends the generator, and the reader gets the signal's own reason", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const abort = new AbortController();
    const { values, error } = await (async () => {
      const reading = drain(portal.with({ signal: abort.signal }).stream.waiting());
      await until(async () => (await portal.run.ping()) === "pong");
      setTimeout(() => abort.abort(new Error("enough")), 10);
      return await reading;
    })();
    expect(values).toEqual(["first"]);
    expect(error?.message).toBe("enough");
    expect(await portal.run.events()).toEqual(["waiting ContextCancelledError", "waiting finally"]);
    const early = portal.with({ signal: AbortSignal.abort(new Error("early")) }).stream.count(3);
    expect((await failure(early.next())).message).toBe("early");
    expect(await portal.run.events()).toEqual([]);
  });

  test("cancelling the callee's actor ends the generator, and the reader gets its ContextCancelledError", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const { program, portal } = await remote(world);
    const stream = portal.stream.waiting();
    await stream.next();
    const next = failure(stream.next());
    expect(await portal.cancelActor()).toBeTrue();
    const error = (await next) as ContextCancelledError;
    expect(error).toBeInstanceOf(ContextCancelledError);
    expect(error.canceller).toEqual(actor.id);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(await eventsOf(program)).toEqual(["waiting ContextCancelledError", "waiting finally"]);
    await portal[Symbol.asyncDispose]();
  });

  test("a cancel from both sides at once ends the generator once, and leaving throws nothing", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    for (const first of ["reader", "actor"]) {
      const { program, portal } = await remote(world);
      const stream = portal.stream.waiting();
      await stream.next();
      const leave = (): Promise<unknown> => stream.return();
      const cancel = (): Promise<unknown> => portal.cancelActor();
      await Promise.all((first === "reader" ? [leave, cancel] : [cancel, leave]).map((each) => each()));
      expect(await eventsOf(program)).toEqual(["waiting ContextCancelledError", "waiting finally"]);
      expect(actor.stats().callsInFlight).toBe(0);
      await portal[Symbol.asyncDispose]();
      await program.kill();
    }
  });

  test("a callee that is killed leaves its reader the values that arrived, then TransportClosedError", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const { program, portal } = await remote(world);
    const stream = portal.stream.waiting();
    expect((await stream.next()).value).toBe("first");
    const next = failure(stream.next());
    await program.kill();
    expect(await next).toBeInstanceOf(TransportClosedError);
    expect((await stream.next()).done).toBeTrue();
    await portal[Symbol.asyncDispose]();
  });

  test("a caller that is killed ends its generator, and no other caller notices", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const reader = await world.actor("reader");
    await reader.run(async ({ furrow, keep }) => {
      const far = await furrow.findActor<Flows>("far", { raiseOnNone: true });
      const stream = far.stream.waiting();
      await stream.next();
      keep["reading"] = stream.next().catch(() => {});
    });
    const other = portal.stream.count(1_000);
    await other.next();
    await reader.kill();
    const seen: string[] = [];
    await until(async () => (seen.push(...(await portal.run.events())), seen.length === 2));
    expect(seen).toEqual(["waiting TransportClosedError", "waiting finally"]);
    expect((await drain(other)).values).toHaveLength(999);
  });

  test("a connection that is cut leaves the reader the values that arrived, then TransportClosedError, and ends the generator", async () => {
    await using tree = await testTree();
    await using world = new World();
    const { program, portal } = await remote(world, tree.env);
    const stream = portal.stream.waiting();
    expect((await stream.next()).value).toBe("first");
    const next = failure(stream.next());
    tree.cut("far");
    expect(await next).toBeInstanceOf(TransportClosedError);
    expect((await stream.next()).done).toBeTrue();
    expect(tree.actor.stats().callsInFlight).toBe(0);
    await portal[Symbol.asyncDispose]();
    // the process lives: it comes back to its registrar, and is found again
    await using again = await waitForActor<Flows>("far", { timeout: 5_000 });
    expect(again.id.pid).toBe(program.pid);
    expect(await again.run.events()).toEqual(["waiting TransportClosedError", "waiting finally"]);
  });

  test("an actor that is frozen past the deadline causes a TimeoutError of stage call, and the caller keeps nothing", async () => {
    await using world = new World();
    await using actor = await openRootActor({
      ...world.options,
      limits: { stopGraceMs: 50, stopTermMs: 50 },
    });
    const { program, portal } = await remote(world);
    const stream = portal.with({ timeout: 100 }).stream.waiting();
    await stream.next();
    await program.freeze();
    const error = await failure(stream.next());
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).stage).toBe("call");
    expect(actor.stats().callsInFlight).toBe(0);
    program.signal("SIGCONT");
    await until(async () => (await portal.run.events()).includes("waiting finally"));
    await portal[Symbol.asyncDispose]();
  });

  test("leaving a generator that ignores its end takes a bounded time, and says so", async () => {
    await using world = new World();
    await using _actor = await openRootActor({
      ...world.options,
      limits: { stopGraceMs: 50, stopTermMs: 50 },
    });
    const { portal } = await remote(world);
    const stream = portal.stream.deaf();
    await stream.next();
    const reading = stream.next().catch(() => {});
    const error = await failure(stream.return());
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).stage).toBe("stop");
    await reading;
    await portal[Symbol.asyncDispose]();
  });

  test("a value that cannot be encoded ends the generator: the reader gets the values before it, then the EncodeError", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const { values, error } = await drain(portal.stream.yieldsFunction());
    expect(values).toEqual([1]);
    expect(error?.cause).toBeInstanceOf(EncodeError);
    expect(String(error?.cause)).toContain("yieldsFunction");
    expect(await portal.run.events()).toEqual(["yieldsFunction finally"]);
    const arguments_ = portal.stream.count((() => {}) as unknown as number);
    expect(await failure(arguments_.next())).toBeInstanceOf(EncodeError);
  });

  test("an error of the generator's clean-up reaches the caller that left the loop", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const error = await failure(
      (async () => {
        for await (const _ of portal.stream.failsInFinally()) break;
      })(),
    );
    expect(error).toBeInstanceOf(RemoteActorError);
    expect((error.cause as Error).message).toBe("clean-up failed");
  });

  test("calls generators only, and no other verb calls them", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const any = portal as unknown as Portal;
    expect(await failure(any.stream["ping"]!().next())).toBeInstanceOf(NotExposedError);
    expect(await failure(any.run["count"]!(1))).toBeInstanceOf(NotExposedError);
    expect(await failure(any.open["count"]!(1))).toBeInstanceOf(NotExposedError);
  });

  test("nothing is sent before the first read", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const stream = portal.stream.count(3);
    await stream.return(0);
    expect((await stream.next()).done).toBeTrue();
    expect(await portal.run.events()).toEqual([]);
  });

  test("values that are there are read at once, in the order of the calls, deadline or not", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    for (const reading of [portal, portal.with({ timeout: 10_000 })]) {
      const stream = reading.stream.count(5);
      await stream.next();
      await portal.run.ping(); // answered behind the values
      const read: unknown[] = [];
      for (let n = 0; n < 4; n++) void stream.next().then(({ value }) => read.push(value));
      await Promise.resolve();
      expect(read).toEqual([1, 2, 3, 4]);
      expect(await stream.next()).toEqual({ done: true, value: 5 });
    }
  });

  test("values that are there are dropped when the reader leaves, and when it is aborted", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const left = portal.stream.count(5);
    await left.next();
    await portal.run.ping();
    await left.return(0);
    expect((await left.next()).done).toBeTrue();
    const controller = new AbortController();
    const aborted = portal.with({ signal: controller.signal }).stream.endless();
    await aborted.next();
    await portal.run.ping();
    const enough = new Error("enough");
    controller.abort(enough);
    expect(await failure(aborted.next())).toBe(enough);
    expect((await aborted.next()).done).toBeTrue();
  });

  test("a slow reader slows its writer: no more is produced than the credit allows", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { creditMessages: 10 } });
    const portal = await nursery.startActor<Flows>("far", { module });
    const stream = portal.stream.endless();
    for (let read = 1; read <= 100; read++) {
      await stream.next();
      // what was read, the credit, and the one in the generator's hands
      expect(await portal.run.producedSoFar()).toBeLessThanOrEqual(read + 10);
    }
    await stream.return();
  });

  test("large values under way stay within the byte credit", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { creditBytes: 100_000 } });
    const portal = await nursery.startActor<Flows>("far", { module });
    const stream = portal.stream.endless(40_000);
    await stream.next();
    await portal.run.ping();
    expect(await portal.run.producedSoFar()).toBeLessThanOrEqual(5);
    await stream.return();
  });

  test("a buffer that the generator reuses arrives as it was when it was yielded", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    let n = 0;
    for await (const block of portal.stream.blocks(300_000, 20)) {
      expect({ length: block.length, first: block[0], last: block[block.length - 1] }).toEqual({
        length: 300_000,
        first: n,
        last: n,
      });
      n++;
    }
    expect(n).toBe(20);
  });

  test("many at once on one connection do not mix", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    const all = await Promise.all(Array.from({ length: 50 }, (_, at) => drain(portal.stream.count(at * 10))));
    expect(all.map(({ values }) => values.length)).toEqual(Array.from({ length: 50 }, (_, at) => at * 10));
    const { currentActor } = await import("../../src/index.ts");
    expect(currentActor().stats().callsInFlight).toBe(0);
  });

  test("ends through every actor that it is relayed by", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const origin = await nursery.startActor<Flows>("origin", { module });
    const middle = await nursery.startActor<Flows>("middle", { module });
    for await (const n of middle.stream.relayed("origin")) if (n === 10) break;
    expect(await middle.run.events()).toEqual(["relayed finally"]);
    expect(await origin.run.events()).toEqual(["count finally"]);
  });

  test("works on a local portal too", async () => {
    await using world = new World();
    await using _actor = await openRootActor({ ...world.options, enableModules: [module.href] });
    await using portal = await findActor<Flows>("root", { raiseOnNone: true });
    // the module's log is this process's own here, and other tests write to it too
    await portal.run.events();
    expect((await drain(portal.stream.count(5))).values).toEqual([0, 1, 2, 3, 4]);
    for await (const n of portal.stream.count(1_000)) if (n === 200) break;
    expect(await portal.run.events()).toEqual(["count returned", "count finally", "count finally"]);
  });
});

describe("a task", () => {
  test("takes the calls, streams and dialogs that it has under way with it when it is aborted", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const origin = await nursery.startActor<Flows>("origin", { module });
    const middle = await nursery.startActor<Flows>("middle", { module });
    const error = await failure(middle.with({ timeout: 100 }).run.callsHang("origin"));
    expect(error).toBeInstanceOf(TimeoutError);
    await until(async () => (await origin.run.events()).includes("hang finally"));
  });

  test("takes a lookup that it waits for with it too", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Flows>("far", { module });
    expect(await failure(portal.with({ timeout: 50 }).run.waitsFor("nobody"))).toBeInstanceOf(TimeoutError);
    await until(async () => (await portal.run.events()).includes("waitsFor finally"));
  });
});
