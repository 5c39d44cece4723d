/** One source, many local readers. */
import { describe, expect, test } from "bun:test";

import { broadcast, currentActor, LaggedError, openNursery, openTaskGroup } from "../../src/index.ts";
import { until, World } from "../support/world.ts";
import { drain } from "../support/outcome.ts";

const module = new URL("../fixtures/flows.ts", import.meta.url);
type Flows = typeof import("../fixtures/flows.ts");

/** A source that the test feeds; `ended` tells how it was ended from outside. */
class Feed<T> {
  readonly #values: IteratorResult<T, undefined>[] = [];
  #wake = Promise.withResolvers<void>();
  #error: Error | undefined;
  ended = 0;

  put(...values: T[]): void {
    for (const value of values) this.#values.push({ done: false, value });
    this.#turn();
  }

  finish(): void {
    this.#values.push({ done: true, value: undefined });
    this.#turn();
  }

  fail(error: Error): void {
    this.#error = error;
    this.#turn();
  }

  #turn(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: async () => {
        for (;;) {
          const value = this.#values.shift();
          if (value !== undefined) return value;
          if (this.#error !== undefined) throw this.#error;
          if (this.ended > 0) return { done: true, value: undefined };
          await this.#wake.promise;
        }
      },
      return: async () => {
        this.ended++;
        this.#turn();
        return { done: true, value: undefined };
      },
    };
  }
}

describe("broadcast", () => {
  test("gives every subscriber all values in order, and the end", async () => {
    const feed = new Feed<number>();
    await using cast = broadcast(feed);
    const readers = [cast.subscribe(), cast.subscribe(), cast.subscribe()].map(drain);
    feed.put(1, 2, 3);
    feed.finish();
    expect(await Promise.all(readers)).toEqual(Array.from({ length: 3 }, () => ({ values: [1, 2, 3] })));
  });

  test("reads nothing before the first subscription, and a late subscriber gets what comes from then on", async () => {
    const feed = new Feed<number>();
    feed.put(1);
    await using cast = broadcast(feed);
    const early = cast.subscribe()[Symbol.asyncIterator]();
    // the value from before is the first subscriber's: it is still in the source
    expect(await early.next()).toEqual({ done: false, value: 1 });
    const late = drain(cast.subscribe());
    feed.put(2, 3);
    feed.finish();
    expect(await late).toEqual({ values: [2, 3] });
    expect(await early.next()).toEqual({ done: false, value: 2 });
  });

  test("a subscriber that falls behind gets what it has, then a LaggedError, then the end; others lose nothing", async () => {
    const feed = new Feed<number>();
    await using cast = broadcast(feed, { capacity: 2 });
    const slow = cast.subscribe()[Symbol.asyncIterator]();
    const quick = cast.subscribe()[Symbol.asyncIterator]();
    for (const n of [1, 2, 3, 4]) {
      const next = quick.next();
      feed.put(n);
      expect(await next).toEqual({ done: false, value: n });
    }
    expect(await slow.next()).toEqual({ done: false, value: 1 });
    expect(await slow.next()).toEqual({ done: false, value: 2 });
    const error = await slow.next().catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(LaggedError);
    expect(error).toMatchObject({ code: "ERR_LAGGED" });
    expect((error as Error).message).toContain("2 values");
    expect(await slow.next()).toEqual({ done: true, value: undefined });
    const next = quick.next();
    feed.put(5);
    expect(await next).toEqual({ done: false, value: 5 });
  });

  test("the source's error is every subscriber's, after the values before it, and that of later ones", async () => {
    const feed = new Feed<number>();
    await using cast = broadcast(feed);
    const readers = [cast.subscribe(), cast.subscribe()].map(drain);
    const mine = new RangeError("mine");
    feed.put(1, 2);
    feed.fail(mine);
    for (const { values, error } of await Promise.all(readers)) {
      expect(values).toEqual([1, 2]);
      expect(error).toBe(mine);
    }
    expect((await drain(cast.subscribe())).error).toBe(mine);
  });

  test("a subscriber that leaves its loop takes nobody with it, and the source goes on", async () => {
    const feed = new Feed<number>();
    await using cast = broadcast(feed);
    const leaving = (async () => {
      for await (const n of cast.subscribe()) if (n === 1) return n;
      return 0;
    })();
    const staying = drain(cast.subscribe());
    feed.put(1);
    expect(await leaving).toBe(1);
    expect(feed.ended).toBe(0);
    feed.put(2);
    feed.finish();
    expect(await staying).toEqual({ values: [1, 2] });
  });

  test("disposing it ends the source, and the subscribers after what they have", async () => {
    const feed = new Feed<number>();
    const cast = broadcast(feed);
    const reader = cast.subscribe();
    const iterator = reader[Symbol.asyncIterator]();
    const quick = cast.subscribe()[Symbol.asyncIterator]();
    feed.put(1, 2);
    expect(await iterator.next()).toEqual({ done: false, value: 1 });
    // when it has the second value, so has the other one
    expect([await quick.next(), await quick.next()].map(({ value }) => value)).toEqual([1, 2]);
    const waiting = drain(cast.subscribe());
    await cast[Symbol.asyncDispose]();
    expect(feed.ended).toBe(1);
    expect(await waiting).toEqual({ values: [] });
    expect(await drain({ [Symbol.asyncIterator]: () => iterator })).toEqual({ values: [2] });
    expect(await drain(cast.subscribe())).toEqual({ values: [] });
    await cast[Symbol.asyncDispose]();
  });

  test("disposing one that nobody subscribed to does not begin the source", async () => {
    let begun = false;
    const cast = broadcast({
      [Symbol.asyncIterator]() {
        begun = true;
        return { next: async () => ({ done: true, value: undefined }) as const };
      },
    });
    await cast[Symbol.asyncDispose]();
    expect(begun).toBeFalse();
  });

  test("a source that fails to begin is the subscribers' error", async () => {
    await using cast = broadcast<number>({
      [Symbol.asyncIterator]() {
        throw new RangeError("no source");
      },
    });
    expect((await drain(cast.subscribe())).error?.message).toBe("no source");
  });

  test("refuses a capacity that is not a positive integer", () => {
    for (const capacity of [0, -1, 1.5, Number.NaN]) {
      expect(() => broadcast(new Feed(), { capacity })).toThrow(RangeError);
    }
  });

  test("disposing it ends a remote stream there, its finally included", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const far = await nursery.startActor<Flows>("far", { module });
    {
      await using cast = broadcast(far.stream.waiting());
      const iterators = [cast.subscribe(), cast.subscribe()].map((one) => one[Symbol.asyncIterator]());
      for (const iterator of iterators) {
        expect(await iterator.next()).toEqual({ done: false, value: "first" });
      }
      expect(currentActor().stats().callsInFlight).toBe(1);
    }
    expect(currentActor().stats().callsInFlight).toBe(0);
    expect(await far.run.events()).toEqual(["waiting ContextCancelledError", "waiting finally"]);
  });

  test("disposing it cancels a dialog that is quiet; the dialog's own block then has nothing to add", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const far = await nursery.startActor<Flows>("far", { module });
    {
      await using dialog = await far.open.upper("hello");
      {
        await using cast = broadcast(dialog);
        const reader = cast.subscribe()[Symbol.asyncIterator]();
        await dialog.send("a");
        expect(await reader.next()).toEqual({ done: false, value: "A" });
      }
      expect(currentActor().stats().callsInFlight).toBe(0);
      expect(await far.run.events()).toEqual(["upper ContextCancelledError", "upper finally"]);
    }
    {
      await using dialog = await far.open.upper("hello");
      await broadcast(dialog)[Symbol.asyncDispose]();
      // nobody had subscribed: it is the source all the same
      expect(currentActor().stats().callsInFlight).toBe(0);
    }
  });

  test("disposing it leaves a source alone that has no end to be asked for: a dialog at its callee", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const far = await nursery.startActor<Flows>("far", { module });
    await using dialog = await far.open.broadcasts();
    expect(await dialog.result).toBe("left");
  });

  test("the source belongs to where the broadcast was made: a subscriber that is cancelled does not end it", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const far = await nursery.startActor<Flows>("far", { module });
    await using cast = broadcast(far.stream.waiting());
    const first = Promise.withResolvers<void>();
    const cancelled = (async () => {
      await using group = openTaskGroup();
      // the first subscription, which begins the source, is made in a task that fails
      void group.start(async () => {
        for await (const _ of cast.subscribe()) {
          first.resolve();
          throw new Error("the subscriber's own");
        }
      });
    })();
    const other = cast.subscribe()[Symbol.asyncIterator]();
    await first.promise;
    await cancelled.catch(() => {});
    expect(await other.next()).toEqual({ done: false, value: "first" });
    let over = false;
    void other.next().then(
      () => (over = true),
      () => (over = true),
    );
    // an answer of the same connection comes behind all that the stream may have sent
    expect(await far.run.events()).toEqual([]);
    await until(() => currentActor().stats().callsInFlight === 1);
    expect(over).toBeFalse();
  });
});
