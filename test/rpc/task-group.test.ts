/** Scopes for local tasks, and the shield for clean-up. */
import { afterEach, describe, expect, test } from "bun:test";

import { openNursery, openTaskGroup, type Portal, shield, TimeoutError } from "../../src/index.ts";
import { until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const module = new URL("../fixtures/workers.ts", import.meta.url);
type Workers = typeof import("../fixtures/workers.ts");

/** Pending until the signal fires; rejects with its reason. */
function untilAborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  if (signal.aborted) reject(signal.reason);
  return promise;
}

async function worker(world: World): Promise<{ portal: Portal<Workers> } & AsyncDisposable> {
  const nursery = await openNursery(world.options);
  const portal = await nursery.startActor<Workers>("worker", { module });
  return { portal, [Symbol.asyncDispose]: async () => await nursery[Symbol.asyncDispose]() };
}

const unhandled: unknown[] = [];
const onUnhandled = (error: unknown): void => void unhandled.push(error);
process.on("unhandledRejection", onUnhandled);
afterEach(() => expect(unhandled.splice(0)).toEqual([]));

describe("openTaskGroup", () => {
  test("joins what it started, tasks that a task starts included, and gives their results", async () => {
    const order: string[] = [];
    const results: number[] = [];
    const gate = Promise.withResolvers<void>();
    {
      await using group = openTaskGroup();
      const first = group.start(async () => {
        await gate.promise;
        void group.start(async () => {
          await Promise.resolve();
          order.push("started by a task");
        });
        return 42;
      });
      void first.then((value) => results.push(value));
      queueMicrotask(() => {
        order.push("gate");
        gate.resolve();
      });
    }
    order.push("left");
    expect(order).toEqual(["gate", "started by a task", "left"]);
    expect(results).toEqual([42]);
  });

  test("the first error cancels the rest, and is thrown as itself at the end of the block", async () => {
    const seen: unknown[] = [];
    const mine = new RangeError("mine");
    const thrown = await failure(
      (async () => {
        await using group = openTaskGroup();
        for (let n = 0; n < 3; n++) {
          void group.start(async (signal) => {
            await untilAborted(signal).catch((error: unknown) => {
              seen.push(error);
              throw error;
            });
          });
        }
        void group.start(async () => await Promise.reject(mine));
        await Promise.resolve();
      })(),
    );
    expect(thrown).toBe(mine);
    expect(seen).toEqual([mine, mine, mine]);
  });

  test("a task that fails in one that was cancelled makes an AggregateError, in the order of failing", async () => {
    const thrown = (await failure(
      (async () => {
        await using group = openTaskGroup();
        void group.start(async (signal) => {
          await untilAborted(signal).catch(() => {});
          throw new TypeError("clean-up failed");
        });
        void group.start(async (signal) => await untilAborted(signal));
        void group.start(async () => await Promise.reject(new RangeError("first")));
      })(),
    )) as AggregateError;
    expect(thrown).toBeInstanceOf(AggregateError);
    expect(thrown.errors.map(String)).toEqual(["RangeError: first", "TypeError: clean-up failed"]);
  });

  test("a function that throws at once is a failed task like any other", async () => {
    const group = openTaskGroup();
    const starting = group.start(() => {
      throw new RangeError("at once");
    });
    expect((await failure(starting)).message).toBe("at once");
    expect((await failure(group[Symbol.asyncDispose]())).message).toBe("at once");
    // told: the group is over
    await group[Symbol.asyncDispose]();
  });

  test("an outer signal cancels it with its own reason; one that is aborted lets nothing begin", async () => {
    const abort = new AbortController();
    const reason = new Error("outer");
    const thrown = failure(
      (async () => {
        await using group = openTaskGroup({ signal: abort.signal });
        for (let n = 0; n < 2; n++) void group.start(untilAborted);
      })(),
    );
    abort.abort(reason);
    expect(await thrown).toBe(reason);
    let began = false;
    const late = await failure(
      (async () => {
        await using group = openTaskGroup({ signal: abort.signal });
        expect(group.signal.aborted).toBeTrue();
        void group.start(async () => {
          began = true;
        });
      })(),
    );
    expect(late).toBe(reason);
    expect(began).toBeFalse();
  });

  test("a group in a task of another group is cancelled with it, and its error is reported once", async () => {
    const mine = new RangeError("mine");
    let inner: unknown;
    const thrown = await failure(
      (async () => {
        await using outer = openTaskGroup();
        void outer.start(async () => {
          await using group = openTaskGroup();
          void group.start(async (signal) => {
            await untilAborted(signal).catch((error: unknown) => {
              inner = error;
              throw error;
            });
          });
        });
        void outer.start(async () => await Promise.reject(mine));
      })(),
    );
    expect(thrown).toBe(mine);
    expect(inner).toBe(mine);
  });

  test("an error whose promise is ignored is not an unhandled rejection; one whose promise is awaited rejects there too", async () => {
    const group = openTaskGroup();
    void group.start(async () => await Promise.reject(new Error("ignored")));
    await Bun.sleep(0); // unhandled rejections are told at the end of a turn
    const awaited = group.start(async () => await Promise.resolve(1));
    // begun after the failure: it is told of that
    expect((await failure(awaited)).message).toBe("ignored");
    expect((await failure(group[Symbol.asyncDispose]())).message).toBe("ignored");
  });

  test("cancels the calls, streams and dialogs that were made in it, there and here, and they do not count as failures", async () => {
    await using world = new World();
    await using tree = await worker(world);
    const { portal } = tree;
    const gate = Promise.withResolvers<void>();
    const thrown = failure(
      (async () => {
        await using group = openTaskGroup();
        void group.start(() => portal.run.hang("call"));
        void group.start(async () => {
          for await (const _ of portal.stream.hangingStream("stream"));
        });
        void group.start(async () => {
          await using dialog = await portal.open.hangingDialog("dialog");
          await dialog.result;
        });
        void group.start(async () => {
          await gate.promise;
          throw new RangeError("mine");
        });
      })(),
    );
    const begun = new Set<string>();
    await until(async () => {
      for (const event of await portal.run.events()) begun.add(event);
      return begun.size === 3;
    });
    gate.resolve();
    const error = await thrown;
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toBe("mine");
    const ended: string[] = [];
    await until(async () => ended.push(...(await portal.run.events())) >= 4);
    expect(ended.toSorted()).toEqual([
      "aborted call",
      "aborted dialog",
      "aborted stream",
      "stream over stream",
    ]);
  });

  test("does not touch calls that were made outside of it", async () => {
    await using world = new World();
    await using tree = await worker(world);
    const { portal } = tree;
    const abort = new AbortController();
    const outside = portal.with({ signal: abort.signal }).run.hang("outside");
    await failure(
      (async () => {
        await using group = openTaskGroup();
        void group.start(async () => await Promise.reject(new Error("mine")));
      })(),
    );
    expect(await portal.run.events()).toEqual(["hang outside"]);
    abort.abort(new Error("now"));
    expect((await failure(outside)).message).toBe("now");
  });

  test("in a called function it is cancelled with that, and what it has under way in a third actor too", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = async (name: string): Promise<Portal<Workers>> =>
      await nursery.startActor<Workers>(name, { module });
    const [holder, other] = await Promise.all([start("holder"), start("other")]);
    const abort = new AbortController();
    const held = holder.with({ signal: abort.signal }).run.holdsGroup("other");
    const seen: string[] = [];
    await until(async () => seen.push(...(await other.run.events())) === 2);
    abort.abort(new Error("mine"));
    expect((await failure(held)).message).toBe("mine");
    await until(async () => seen.push(...(await other.run.events())) === 4);
    expect(seen.toSorted()).toEqual(["aborted one", "aborted two", "hang one", "hang two"]);
  });
});

describe("shield", () => {
  test("gives the result, or the error, of what it runs", async () => {
    expect(await shield(async () => await Promise.resolve(7), { timeout: 1_000 })).toBe(7);
    const mine = new RangeError("mine");
    expect(await failure(shield(async () => await Promise.reject(mine), { timeout: 1_000 }))).toBe(mine);
  });

  test("is not cut by the cancel of the group around it", async () => {
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const thrown = failure(
      (async () => {
        await using group = openTaskGroup();
        void group.start(async () => {
          await shield(
            async (signal) => {
              await gate.promise;
              order.push(`shielded work is done, aborted: ${signal.aborted}`);
            },
            { timeout: 5_000 },
          );
        });
        void group.start(async () => await Promise.reject(new Error("mine")));
        group.signal.addEventListener("abort", () => {
          order.push("cancelled");
          gate.resolve();
        });
      })(),
    );
    expect((await thrown).message).toBe("mine");
    expect(order).toEqual(["cancelled", "shielded work is done, aborted: false"]);
  });

  test("is bounded by its timeout: its signal fires, and it rejects though the work goes on", async () => {
    let fired: unknown;
    const error = await failure(
      shield(
        async (signal) => {
          signal.addEventListener("abort", () => (fired = signal.reason));
          await new Promise(() => {});
        },
        { timeout: 5 },
      ),
    );
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ stage: "stop", code: "ERR_TIMEOUT" });
    expect(fired).toBe(error);
  });

  test("refuses a timeout that is not a number of milliseconds", async () => {
    for (const timeout of [-1, Number.NaN, undefined as unknown as number]) {
      let ran = false;
      const error = await failure(
        shield(
          async () => {
            ran = true;
          },
          { timeout },
        ),
      );
      expect(error).toBeInstanceOf(RangeError);
      expect(ran).toBeFalse();
    }
  });

  test("lets a function that was cancelled call other actors for its clean-up", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = async (name: string): Promise<Portal<Workers>> =>
      await nursery.startActor<Workers>(name, { module });
    const [cleaner] = await Promise.all([start("cleaner"), start("other")]);
    const abort = new AbortController();
    const call = cleaner.with({ signal: abort.signal }).run.cleansUp("other");
    const seen: string[] = [];
    await until(async () => seen.push(...(await cleaner.run.events())) === 1);
    abort.abort(new Error("mine"));
    expect((await failure(call)).message).toBe("mine");
    await until(async () => seen.push(...(await cleaner.run.events())) === 4);
    expect(seen).toEqual(["hang work", "aborted work", "unshielded refused", "cleaned up 4"]);
  });
});
