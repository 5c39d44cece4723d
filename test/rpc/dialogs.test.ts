/** The rows of docs/semantics.md on dialogs, one test each, and what follows from them. */
import { describe, expect, test } from "bun:test";

import {
  ContextCancelledError,
  currentActor,
  EncodeError,
  findActor,
  openNursery,
  openRootActor,
  type Portal,
  RemoteActorError,
  TimeoutError,
  TransportClosedError,
  waitForActor,
} from "../../src/index.ts";
import { testTree } from "../../src/testing.ts";
import { until, World } from "../support/world.ts";
import { drain, failure } from "../support/outcome.ts";

const module = new URL("../fixtures/flows.ts", import.meta.url);
type Flows = typeof import("../fixtures/flows.ts");

/** A world with one child that has the functions, for as long as the test's block. */
async function far(world: World, limits: object = {}): Promise<{ portal: Portal<Flows> } & AsyncDisposable> {
  const nursery = await openNursery({ ...world.options, limits });
  const portal = await nursery.startActor<Flows>("far", { module });
  return { portal, [Symbol.asyncDispose]: async () => await nursery[Symbol.asyncDispose]() };
}

describe("open", () => {
  test("a normal dialog has its started value, messages both ways in order, the caller's end and the result", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.upper("hello");
    expect(dialog.started).toBe("hello");
    const answers: string[] = [];
    for (const text of ["a", "b", "c"]) await dialog.send(text);
    await dialog.end();
    for await (const answer of dialog) answers.push(answer);
    expect(answers).toEqual(["A", "B", "C"]);
    expect(await dialog.result).toBe(3);
    expect(await tree.portal.run.events()).toEqual(["upper done", "upper finally"]);
    expect(currentActor().stats().callsInFlight).toBe(0);
  });

  test("carries Buffers as such, small and large: arguments, started value, messages, values of a stream, results", async () => {
    await using world = new World();
    await using tree = await far(world);
    for (const size of [3, 20_000]) {
      const buffer = Buffer.alloc(size, "abc");
      const seen: unknown[] = [];
      await using dialog = await tree.portal.open.mirror(buffer);
      seen.push(dialog.started);
      await dialog.send(buffer);
      dialog.trySend(buffer);
      await dialog.end();
      for await (const message of dialog) seen.push(message);
      seen.push(await dialog.result);
      const stream = tree.portal.stream.yields(buffer);
      seen.push((await stream.next()).value, (await stream.next()).value);
      expect(seen).toHaveLength(6);
      for (const one of seen)
        expect([Buffer.isBuffer(one), buffer.equals(one as Buffer)]).toEqual([true, true]);
    }
  });

  test("a callee can end its messages and return later", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.endsEarly();
    expect(dialog.started).toBeUndefined();
    expect((await drain(dialog)).values).toEqual([1]);
    expect(await dialog.result).toBe("later");
  });

  test("open rejects with what the callee throws before started, or with its ContextCancelledError when it cancels; when it returns, started is undefined", async () => {
    await using world = new World();
    await using tree = await far(world);
    const thrown = await failure(tree.portal.open.neverStarts("throw"));
    expect(thrown).toBeInstanceOf(RemoteActorError);
    expect(thrown.cause).toBeInstanceOf(RangeError);
    const cancelled = (await failure(tree.portal.open.neverStarts("cancel"))) as ContextCancelledError;
    expect(cancelled).toBeInstanceOf(ContextCancelledError);
    expect(cancelled.canceller).toEqual(tree.portal.id);
    expect(cancelled.message).toContain("not for you");
    await using returned = await tree.portal.open.neverStarts("return");
    expect(returned.started).toBeUndefined();
    expect(await returned.result).toBe("returned");
  });

  test("an error that the callee throws comes after its messages, at the reader and in the result", async () => {
    await using world = new World();
    await using tree = await far(world);
    const dialog = await tree.portal.open.failsAfter(5);
    const { values, error } = await drain(dialog);
    expect(values).toEqual([0, 1, 2, 3, 4]);
    expect(error).toBeInstanceOf(RemoteActorError);
    const result = await failure(dialog.result);
    expect(result).toBe(error!);
    expect(result.cause).toBeInstanceOf(RangeError);
    // the result has told
    await dialog[Symbol.asyncDispose]();
  });

  test("an error that the callee throws is thrown at the end of the block when the result is not read", async () => {
    await using world = new World();
    await using tree = await far(world);
    const dialog = await tree.portal.open.failsAfter(0);
    await until(() => currentActor().stats().callsInFlight === 0);
    const error = await failure(dialog[Symbol.asyncDispose]());
    expect(error).toBeInstanceOf(RemoteActorError);
  });

  test("an error that the callee throws is not thrown again at the end of the block when the reader got it", async () => {
    await using world = new World();
    await using tree = await far(world);
    const error = await failure(
      (async () => {
        await using dialog = await tree.portal.open.failsAfter(3);
        for await (const _ of dialog);
      })(),
    );
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error.cause).toBeInstanceOf(RangeError);
  });

  test("a dialog that is cancelled before it begins does not call its function", async () => {
    await using world = new World();
    await using tree = await far(world);
    const abort = new AbortController();
    const opening = failure(tree.portal.with({ signal: abort.signal }).open.begins());
    // both leave in one write
    abort.abort(new Error("changed my mind"));
    expect((await opening).message).toBe("changed my mind");
    expect(await tree.portal.run.events()).toEqual([]);
  });

  test("a caller that throws leaves the block with its own error, once the callee is cancelled and has ended", async () => {
    await using world = new World();
    await using tree = await far(world);
    const error = await failure(
      (async () => {
        await using dialog = await tree.portal.open.upper("x");
        await dialog.send("a");
        throw new Error("mine");
      })(),
    );
    expect(error.message).toBe("mine");
    expect(await tree.portal.run.events()).toEqual(["upper ContextCancelledError", "upper finally"]);
  });

  test("a caller that leaves the block without the result throws nothing, once the callee is cancelled and has ended", async () => {
    await using world = new World();
    await using tree = await far(world);
    {
      await using _dialog = await tree.portal.open.upper("x");
    }
    expect(await tree.portal.run.events()).toEqual(["upper ContextCancelledError", "upper finally"]);
    expect(currentActor().stats().callsInFlight).toBe(0);
  });

  test("the dialog goes on when the caller breaks the loop", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.upper("x");
    for (const text of ["a", "b"]) {
      await dialog.send(text);
      for await (const answer of dialog) {
        expect(answer).toBe(text.toUpperCase());
        break;
      }
    }
    await dialog.end();
    expect(await dialog.result).toBe(2);
  });

  test("a caller's own cancel rejects the result with a ContextCancelledError that names the caller, and the block absorbs it", async () => {
    await using world = new World();
    await using tree = await far(world);
    {
      await using dialog = await tree.portal.open.upper("x");
      dialog.cancel("no longer needed");
      const error = (await failure(dialog.result)) as ContextCancelledError;
      expect(error).toBeInstanceOf(ContextCancelledError);
      expect(error.canceller).toEqual(currentActor().id);
      expect(error.message).toContain("no longer needed");
      expect(await failure(dialog.send("late"))).toBeInstanceOf(ContextCancelledError);
      expect((await drain(dialog)).error).toBeInstanceOf(ContextCancelledError);
    }
    expect(await tree.portal.run.events()).toEqual(["upper ContextCancelledError", "upper finally"]);
    expect(await tree.portal.run.ping()).toBe("pong");
  });

  test("a caller's cancel after the callee has returned changes nothing: the result is delivered, without an error", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.neverStarts("return");
    await until(() => currentActor().stats().callsInFlight === 0);
    dialog.cancel();
    expect(await dialog.result).toBe("returned");
  });

  test("a callee's cancel comes after its messages as a ContextCancelledError that names it; the block throws it unless the caller has already got it", async () => {
    await using world = new World();
    await using tree = await far(world);
    const dialog = await tree.portal.open.cancelsItself();
    const { values, error } = await drain(dialog);
    expect(values).toEqual([1]);
    expect(error).toBeInstanceOf(ContextCancelledError);
    expect((error as ContextCancelledError).canceller).toEqual(tree.portal.id);
    await dialog[Symbol.asyncDispose]();
    const unheard = await tree.portal.open.cancelsItself();
    await until(() => currentActor().stats().callsInFlight === 0);
    expect(await failure(unheard[Symbol.asyncDispose]())).toBeInstanceOf(ContextCancelledError);
  });

  test("a cancel from both sides at once ends both, and the block absorbs it", async () => {
    await using world = new World();
    await using tree = await far(world);
    for (let round = 0; round < 20; round++) {
      await using dialog = await tree.portal.open.cancelsItself();
      dialog.cancel();
      const error = (await failure(dialog.result)) as ContextCancelledError;
      expect(error).toBeInstanceOf(ContextCancelledError);
      expect([currentActor().uuid, tree.portal.id.uuid]).toContain(error.canceller.uuid);
    }
    expect(currentActor().stats().callsInFlight).toBe(0);
  });

  test("an error of the callee's clean-up is not masked by the cancel that led to it", async () => {
    await using world = new World();
    await using tree = await far(world);
    const dialog = await tree.portal.open.failsWhenCancelled();
    const error = await failure(dialog[Symbol.asyncDispose]());
    expect(error).toBeInstanceOf(RemoteActorError);
    expect((error.cause as Error).message).toBe("clean-up failed");
  });

  test("a callee that is killed leaves what arrived, then TransportClosedError at the reader, the writer, the result and the block", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const program = await world.actor("far", { enableModules: [module.href] });
    await using portal = await findActor<Flows>("far", { raiseOnNone: true });
    const dialog = await portal.open.upper("x");
    const read = drain(dialog);
    await program.kill();
    expect((await read).error).toBeInstanceOf(TransportClosedError);
    expect(await failure(dialog.result)).toBeInstanceOf(TransportClosedError);
    expect(await failure(dialog.send("a"))).toBeInstanceOf(TransportClosedError);
    await dialog[Symbol.asyncDispose]();
    const untold = await failure(portal.open.upper("y"));
    expect(untold).toBeInstanceOf(TransportClosedError);
  });

  test("a caller that is killed fires the callee's signal and rejects what it waits for; no other caller notices", async () => {
    await using world = new World();
    await using tree = await far(world);
    const caller = await world.actor("caller");
    await caller.run(async ({ furrow, keep }) => {
      const portal = await furrow.findActor<Flows>("far", { raiseOnNone: true });
      keep["dialog"] = await portal.open.upper("x");
    });
    await using own = await tree.portal.open.upper("mine");
    await caller.kill();
    const seen: string[] = [];
    await until(async () => (seen.push(...(await tree.portal.run.events())), seen.length === 2));
    expect(seen).toEqual(["upper TransportClosedError", "upper finally"]);
    await own.send("a");
    expect((await own[Symbol.asyncIterator]().next()).value).toBe("A");
  });

  test("a connection that is cut is a TransportClosedError at the caller's reader, writer and result, and at everything that waits in the callee", async () => {
    await using tree = await testTree();
    await using world = new World();
    const program = await world.actor("far", { enableModules: [module.href] }, tree.env);
    await using portal = await findActor<Flows>("far", { raiseOnNone: true });
    const dialog = await portal.open.upper("x");
    await dialog.send("a");
    const reader = dialog[Symbol.asyncIterator]();
    expect((await reader.next()).value).toBe("A");
    const next = failure(reader.next());
    tree.cut("far");
    expect(await next).toBeInstanceOf(TransportClosedError);
    expect(await failure(dialog.result)).toBeInstanceOf(TransportClosedError);
    expect(await failure(dialog.send("b"))).toBeInstanceOf(TransportClosedError);
    // the result has told
    await dialog[Symbol.asyncDispose]();
    expect(tree.actor.stats().callsInFlight).toBe(0);
    // the process lives: it comes back to its registrar, and is found again
    await using again = await waitForActor<Flows>("far", { timeout: 5_000 });
    expect(again.id.pid).toBe(program.pid);
    expect(await again.run.events()).toEqual(["upper TransportClosedError", "upper finally"]);
  });

  test("an actor that is frozen past the deadline causes a TimeoutError of stage call, and leaving takes a bounded time", async () => {
    await using world = new World();
    await using actor = await openRootActor({
      ...world.options,
      limits: { stopGraceMs: 50, stopTermMs: 50 },
    });
    const program = await world.actor("far", { enableModules: [module.href] });
    await using portal = await findActor<Flows>("far", { raiseOnNone: true });
    const dialog = await portal.with({ timeout: 100 }).open.upper("x");
    await program.freeze();
    const error = await failure(dialog[Symbol.asyncIterator]().next());
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).stage).toBe("call");
    const left = await failure(dialog[Symbol.asyncDispose]());
    expect((left as TimeoutError).stage).toBe("stop");
    const opening = await failure(portal.with({ timeout: 50 }).open.upper("x"));
    expect((opening as TimeoutError).stage).toBe("call");
    expect(actor.stats().callsInFlight).toBe(0);
    program.signal("SIGCONT");
  });

  test("leaving a callee that ignores its cancel takes a bounded time, and the error says so", async () => {
    await using world = new World();
    await using tree = await far(world, { stopGraceMs: 50, stopTermMs: 50 });
    const dialog = await tree.portal.open.deafDialog();
    const error = await failure(dialog[Symbol.asyncDispose]());
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error.message).toContain("ignored its cancel");
    // it is ended with its process, when the nursery ends
  });

  test("a message that cannot be encoded rejects the sender's send, and the dialog goes on", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.upper("x");
    const error = await failure(dialog.send((() => {}) as unknown as string));
    expect(error).toBeInstanceOf(EncodeError);
    expect(error.message).toContain("message to upper");
    await dialog.send("still");
    expect((await dialog[Symbol.asyncIterator]().next()).value).toBe("STILL");
    const callee = await tree.portal.open.misuses("send a function");
    expect((await failure(callee.result)).cause).toBeInstanceOf(EncodeError);
    await callee[Symbol.asyncDispose]();
  });

  test("a message after the end rejects at once, on both sides", async () => {
    await using world = new World();
    await using tree = await far(world);
    await using dialog = await tree.portal.open.upper("x");
    await dialog.end();
    const error = await failure(dialog.send("late"));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.message).toContain("after end()");
    expect(() => dialog.trySend("late")).toThrow(TransportClosedError);
    expect(await dialog.result).toBe(0);
    const callee = await tree.portal.open.misuses("send after end");
    expect((await failure(callee.result)).cause).toBeInstanceOf(TransportClosedError);
    await callee[Symbol.asyncDispose]();
    // and after the function has returned
    await using kept = await tree.portal.open.keepsContext();
    await kept.result;
    expect(await tree.portal.run.usesKept()).toBe("TransportClosedError");
  });

  test("a callee that calls started twice, or sends before it, is an error at the caller", async () => {
    await using world = new World();
    await using tree = await far(world);
    const before = await failure(tree.portal.open.misuses("send before started"));
    expect(before.message).toContain("before started()");
    const twice = await tree.portal.open.misuses("started twice");
    expect((await failure(twice.result)).message).toContain("twice");
    await twice[Symbol.asyncDispose]();
  });

  test("trySend sends while there is credit and drops the rest", async () => {
    await using world = new World();
    await using tree = await far(world, { creditMessages: 10 });
    await using dialog = await tree.portal.open.floods();
    const { values } = await drain(dialog);
    const { sent, dropped } = await dialog.result;
    expect(sent).toBe(10);
    expect(sent + dropped).toBe(1_000);
    expect(values).toHaveLength(sent);
  });

  test("a slow callee slows its caller, and nothing else on the connection", async () => {
    await using world = new World();
    await using tree = await far(world, { creditMessages: 4 });
    await using dialog = await tree.portal.open.slowReader(1_000, 5);
    let sent = 0;
    const sending = (async () => {
      for (;;) {
        await dialog.send("x".repeat(100));
        sent++;
      }
    })();
    sending.catch(() => {}); // ends with the dialog
    await Bun.sleep(60);
    expect(sent).toBeLessThan(40);
    expect(await tree.portal.run.ping()).toBe("pong");
    dialog.cancel();
    expect(await failure(sending)).toBeInstanceOf(ContextCancelledError);
  });

  test("an abort of the caller's signal cancels the callee, and rejects what waits with its reason", async () => {
    await using world = new World();
    await using tree = await far(world);
    const abort = new AbortController();
    const dialog = await tree.portal.with({ signal: abort.signal }).open.upper("x");
    const next = failure(dialog[Symbol.asyncIterator]().next());
    abort.abort(new Error("enough"));
    expect((await next).message).toBe("enough");
    expect((await failure(dialog.result)).message).toBe("enough");
    expect((await failure(dialog.send("late"))).message).toBe("enough");
    await dialog[Symbol.asyncDispose]();
    expect(await tree.portal.run.events()).toEqual(["upper ContextCancelledError", "upper finally"]);
    const opening = new AbortController();
    const hanging = failure(tree.portal.with({ signal: opening.signal }).open.neverStarts("hang"));
    setTimeout(() => opening.abort(new Error("not any more")), 20);
    expect((await hanging).message).toBe("not any more");
  });

  test("works on a local portal too", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, enableModules: [module.href] });
    await using portal = await findActor<Flows>("root", { raiseOnNone: true });
    await using dialog = await portal.open.upper("self");
    await dialog.send("a");
    await dialog.end();
    expect((await drain(dialog)).values).toEqual(["A"]);
    expect(await dialog.result).toBe(1);
    expect(actor.stats().peers).toBe(0);
  });
});
