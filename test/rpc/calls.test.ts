import { describe, expect, test } from "bun:test";

import {
  EncodeError,
  findActor,
  LimitError,
  LocalPortal,
  NotExposedError,
  openNursery,
  openRootActor,
  type Portal,
  registerError,
  RemoteActorError,
  TimeoutError,
  TransportClosedError,
  waitForActor,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { actor, soon } from "../channel/actors.ts";
import { KnownError } from "../fixtures/exports.ts";
import { rawHello, RawListener } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const module = new URL("../fixtures/exports.ts", import.meta.url);
type Exports = typeof import("../fixtures/exports.ts");

/** Any name, as somebody without types would call it. */
function untyped(portal: Portal<Exports>): Record<string, (...args: unknown[]) => Promise<unknown>> {
  return portal.run as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
}

describe("Portal.run", () => {
  test("calls own exported functions only: no default, no class, nothing inherited, no value", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    expect(await portal.run.add(1, 2)).toBe(3);
    expect(await portal.run.arrow(2)).toBe(4);
    const run = untyped(portal);
    for (const name of [
      "default",
      "Klass",
      "constant",
      "toString",
      "constructor",
      "__proto__",
      "hasOwnProperty",
      "missing",
      "",
    ]) {
      const error = await failure(run[name]!());
      expect(error).toBeInstanceOf(NotExposedError);
      expect(error.message).toContain(`"${name}"`);
    }
    const generator = await failure(run["ticks"]!());
    expect(generator).toBeInstanceOf(NotExposedError);
    expect(generator.message).toContain("portal.stream.ticks");
    expect(run["then"]).toBeUndefined();
  });

  test("names the nearest function when there is none of that name, else some that there are", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const said = async (name: string): Promise<string> => {
      const { message } = await failure(untyped(portal)[name]!());
      return message.replace(/#[0-9a-f]+/, "");
    };
    for (const [name, near] of [
      ["ad", "add"],
      ["adds", "add"],
      ["ehco", "echo"],
      ["Echo", "echo"],
      ["failknown", "failKnown"],
    ]) {
      expect(await said(name!)).toBe(
        `no module enabled in target exports a function "${name}"; did you mean "${near}"?`,
      );
    }
    expect(await said("somethingElse")).toMatch(
      /^no module enabled in target exports a function "somethingElse"; there are "add", "arrow", .* and \d+ more$/,
    );
    expect(await said("x".repeat(10_000))).toContain('; there are "add"');
    const empty = await nursery.startActor("empty", {});
    const { message } = await failure(untyped(empty as Portal<Exports>)["add"]!());
    expect(message).toEndWith('exports a function "add"; there are none');
  });

  test("carries every value of the contract both ways", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const values = [
      undefined,
      null,
      true,
      false,
      0,
      -0,
      1.5,
      Number.NaN,
      Infinity,
      -Infinity,
      2 ** 53,
      -(2 ** 40),
      2n ** 63n,
      -(2n ** 63n),
      2n ** 64n - 1n,
      0n,
      "",
      "text ✓ 🙂",
      new Uint8Array([1, 2, 3]),
      new Uint8Array(0),
      new Date(0),
      new Date(-1),
      new Date("2026-11-22T10:20:30.456Z"),
      [],
      {},
      [undefined, [null]],
      { a: { b: [1] } },
      new Map<unknown, unknown>([
        ["k", 1],
        [{ o: 1 }, new Set([1])],
      ]),
      new Set(["a", -0]),
      new Uint8Array(100_000).fill(7),
      { mixed: [new Map([["x", new Uint8Array(50_000).fill(3)]])] },
    ];
    for (const value of values) expect(await portal.run.echo(value)).toEqual(value);
    expect(Object.is(await portal.run.echo(-0), -0)).toBeTrue();
    const error = (await portal.run.echo(new TypeError("e", { cause: new RangeError("c") }))) as Error;
    expect(error).toBeInstanceOf(TypeError);
    expect(error.cause).toBeInstanceOf(RangeError);
    expect(await portal.run.echo(values)).toEqual(values);
  });

  test("carries a Buffer as one, of any size, as an argument, a result and inside of both, to itself as well", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, enableModules: [module] });
    const remote = await nursery.startActor<Exports>("target", { module });
    const local = await findActor<Exports>("root", { raiseOnNone: true });
    expect(local).toBeInstanceOf(LocalPortal);
    for (const portal of [remote, local]) {
      for (const size of [0, 3, 20_000]) {
        const buffer = Buffer.alloc(size, "abc");
        const array = new Uint8Array(buffer);
        expect(await portal.run.hexOf(buffer)).toBe(buffer.toString("hex"));
        const [one, plain, { deep }] = (await portal.run.echo([buffer, array, { deep: buffer }])) as [
          Buffer,
          Uint8Array,
          { deep: Buffer },
        ];
        const back = (await portal.run.echo(buffer)) as Buffer;
        for (const made of [one, deep, back]) expect(made.toString("latin1")).toBe(buffer.toString("latin1"));
        expect(plain.constructor).toBe(Uint8Array);
        expect(((await portal.run.echo(array)) as object).constructor).toBe(Uint8Array);
      }
    }
  });

  test("refuses what cannot cross at the sender, with the path to it; nothing is sent", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const bad: [unknown, string][] = [
      [() => {}, "arguments of echo[0]: a function"],
      [{ a: [1, Symbol("s")] }, "arguments of echo[0].a[1]: a symbol"],
      [cycle, "arguments of echo[0].self: a cycle"],
      [2n ** 64n, "a bigint beyond 64 bits"],
      [new URL("http://x/"), "an instance of URL"],
      [new Float32Array(2), "an instance of Float32Array"],
      [new (class Custom {})(), "an instance of Custom"],
      [new Map([["k", () => {}]]), ".k: a function"],
    ];
    for (const [value, text] of bad) {
      const error = await failure(untyped(portal)["echo"]!(value));
      expect(error).toBeInstanceOf(EncodeError);
      expect(error.message).toContain(text);
    }
    // and in a result: there the callee is the sender
    const result = (await failure(untyped(portal)["returnsFunction"]!())) as RemoteActorError;
    expect(result).toBeInstanceOf(RemoteActorError);
    expect(result.cause).toBeInstanceOf(EncodeError);
    expect(await portal.run.add(1, 1)).toBe(2);
  });

  test("rejects with RemoteActorError: name, stack, cause chain, members, and where it arose", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const error = (await failure(portal.run.failDeep())) as RemoteActorError;
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error).toMatchObject({
      code: "ERR_REMOTE_ACTOR",
      remoteName: "TypeError",
      actor: portal.id,
      relayPath: [portal.id],
    });
    expect(error.remoteStack).toContain("exports.ts");
    // readable as one story: the function there, and nothing of the loop that reads the connection here
    expect(error.stack).toMatch(
      /^RemoteActorError: .*\n {4}at target#\w{8} failDeep \(.*exports\.ts:\d+:\d+\)$/,
    );
    expect(error.cause).toBeInstanceOf(TypeError);
    expect((error.cause as Error).cause).toBeInstanceOf(RangeError);
    const both = (await failure(portal.run.failTwice())) as RemoteActorError;
    expect((both.cause as AggregateError).errors.map(({ message }: Error) => message)).toEqual([
      "one",
      "two",
    ]);
    const text = (await failure(portal.run.throwText())) as RemoteActorError;
    expect(text.message).toContain("only text");
  });

  test("rebuilds registered error classes as themselves, others as plain errors of their name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const known = (await failure(portal.run.failKnown("well"))) as RemoteActorError;
    expect(known.cause).toBeInstanceOf(KnownError);
    expect((known.cause as KnownError).detail).toBe("well");
    const other = (await failure(portal.run.failUnknown())) as RemoteActorError;
    expect(Object.getPrototypeOf(other.cause)).toBe(Error.prototype);
    expect((other.cause as Error).name).toBe("UnknownError");
    expect(() => registerError(Object as never)).toThrow(TypeError);
  });

  test("relays an error through actors without boxing it again", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor<Exports>("origin", { module });
    const middle = await nursery.startActor<Exports>("middle", { module });
    const error = (await failure(middle.run.relay("origin"))) as RemoteActorError;
    expect(error.actor.name).toBe("origin");
    expect(error.relayPath.map(({ name }) => name)).toEqual(["origin", "middle"]);
    expect(error.cause).toBeInstanceOf(TypeError);
  });

  test("keeps the name of an error through relays, set by hand or of a class that nobody registered", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const names = ["first", "second", "third"];
    const [first] = await Promise.all(names.map((name) => nursery.startActor<Exports>(name, { module })));
    for (const [fn, name, cls] of [
      ["failUnknown", "UnknownError", Error],
      ["failNamed", "QuoteError", TypeError],
    ] as const) {
      const error = (await failure(first!.run.relayFar(["second", "third"], fn))) as RemoteActorError;
      expect(error.relayPath).toHaveLength(3);
      expect([error.remoteName, (error.cause as Error).name]).toEqual([name, name]);
      expect((error.cause as Error).constructor).toBe(cls);
      expect(error.message).toContain(`${name}: `);
    }
  });

  test("aborts the callee's task when the caller aborts or times out, with the signal's own reason", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const reason = { any: "value" };
    const abort = new AbortController();
    const call = portal.with({ signal: abort.signal }).run.hang("a");
    abort.abort(reason);
    expect(await call.catch((thrown: unknown) => thrown)).toBe(reason);
    const timeout = await failure(portal.with({ timeout: 20 }).run.hang("b"));
    expect(timeout).toBeInstanceOf(TimeoutError);
    expect((timeout as TimeoutError).stage).toBe("call");
    expect(await portal.run.ended()).toEqual({
      a: "ContextCancelledError: cancelled by root#: aborted by the caller",
      b: "ContextCancelledError: cancelled by root#: timed out at the caller",
    });
    const early = await failure(portal.with({ signal: AbortSignal.abort(new Error("early")) }).run.add(1, 1));
    expect(early.message).toBe("early");
  });

  test("runs many calls at once over one connection, answered as they finish", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const { currentActor } = await import("../../src/index.ts");
    const sums = await Promise.all(Array.from({ length: 5_000 }, (_, at) => portal.run.add(at, at)));
    expect(sums).toEqual(Array.from({ length: 5_000 }, (_, at) => at * 2));
    expect(currentActor().stats().peers).toBe(1);
    // a call that waits holds nobody up
    const waiting = portal.run.hang("c").catch(() => {});
    expect(await portal.run.add(1, 2)).toBe(3);
    await portal[Symbol.asyncDispose]();
    expect(await failure(portal.run.add(1, 2))).toBeInstanceOf(TransportClosedError);
    void waiting;
  });

  test("rejects pending calls at once when the peer dies, and refuses later ones", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const other = await world.actor("other", { enableModules: [module.href] });
    await using portal = await findActor<Exports>("other", { raiseOnNone: true });
    const pending = Promise.all([1, 2, 3].map((at) => failure(portal.run.hang(`p${at}`))));
    await portal.run.add(1, 1);
    await other.kill();
    for (const error of await pending) expect(error).toBeInstanceOf(TransportClosedError);
    expect(await failure(portal.run.add(1, 1))).toBeInstanceOf(TransportClosedError);
    expect((await portal.closed).reason).toBe("peer-died");
  });

  test("waits for any thenable as await does, in the task, and lives through those that misbehave", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    expect(await portal.run.thenable("nested")).toBe("nested");
    expect(await portal.run.thenable("function")).toBe("function");
    expect(await portal.run.thenable("lazy")).toBe("root");
    for (const how of ["throws", "getter throws", "proxy"] as const) {
      expect((await failure(portal.run.thenable(how))).cause).toMatchObject({
        name: "RangeError",
        message: how,
      });
    }
    expect(await failure(portal.run.throwProxy())).toBeInstanceOf(RemoteActorError);
    const given = failure(portal.with({ timeout: 20 }).run.throwUnreadable());
    expect(await given).toBeInstanceOf(TimeoutError);
    expect(await portal.run.add(1, 2)).toBe(3);
  });

  test("lets a getter of an argument send, or refuses it, and no other message is harmed", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    for (const text of ["short", "é".repeat(100)]) {
      const inner: Promise<unknown>[] = [];
      const value = {
        get sends() {
          inner.push(portal.run.echo(text).catch((error: unknown) => error));
          return "sent";
        },
        text,
      };
      const call = portal.run.echo(value);
      expect(await portal.run.echo("behind")).toBe("behind");
      expect(await call).toEqual({ sends: "sent", text });
      for (const one of await Promise.all(inner)) {
        if (one !== text) expect(one).toBeInstanceOf(EncodeError);
      }
    }
  });

  test("can be used by code that freezes what it is given", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const run = Object.freeze(portal.run);
    expect(await run.add(1, 2)).toBe(3);
  });

  test("fails when the result is malformed, along with the connection", async () => {
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ name: "liar" }));
      const [, id] = await peer.take(Kind.call);
      peer.send([Kind.result, id, [99], true]);
    });
    const near = await actor("near");
    const { handler } = await near.peers.connectTo(listener.addr, soon());
    const error = await failure(handler.call("f", []));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect((error.cause as Error).message).toBe("unknown tag 99 in rich form");
    await near.cancel();
  });

  test("bounds the calls that a peer may have in flight", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxCallsInFlight: 3 } });
    const portal = await nursery.startActor<Exports>("target", { module });
    const hanging = Array.from({ length: 3 }, (_, at) =>
      portal
        .with({ timeout: 200 })
        .run.hang(`f${at}`)
        .catch(() => {}),
    );
    const error = await failure(portal.run.add(1, 1));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("maxCallsInFlight is 3");
    await Promise.all(hanging);
    await until(async () => (await portal.run.add(1, 1).catch(() => 0)) === 2);
  });

  test("shortens an error that is too large to send, and keeps the connection", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxFrameBytes: 20_000 } });
    const portal = await nursery.startActor<Exports>("target", { module });
    const error = await failure(portal.run.failLarge(100_000));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("maxFrameBytes 20000");
    expect(await portal.run.add(1, 2)).toBe(3);
  });

  test("does not see its caller's later changes of an argument", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const portal = await nursery.startActor<Exports>("target", { module });
    const list = [1, 2];
    const call = portal.run.echo(list);
    list.push(3);
    expect(await call).toEqual([1, 2]);
  });

  test("aborts a function that cuts its caller off before it has returned", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await world.actor("target", { enableModules: [module.href] });
    await using portal = await waitForActor<Exports>("target", { timeout: 5_000 });
    expect(await failure(portal.run.hangUp("cut"))).toBeInstanceOf(TransportClosedError);
    await using again = await waitForActor<Exports>("target", { timeout: 5_000 });
    expect((await again.run.ended())["cut"]).toContain("is gone");
  });

  test("fails, and does not hang, when a binary's memory is transferred away before it is sent", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await world.actor("target", { enableModules: [module.href] });
    // one that waits for the end of the turn, and one that waits for the kernel
    for (const bytes of [20_000, 8_388_608]) {
      await using portal = await waitForActor<Exports>("target", { timeout: 5_000 });
      const binary = new Uint8Array(bytes);
      const call = failure(portal.run.echo(binary));
      binary.buffer.transfer();
      const error = await call;
      expect(error).toBeInstanceOf(TransportClosedError);
      expect((error.cause as Error).message).toContain("was transferred or resized before");
    }
    await using portal = await waitForActor<Exports>("target", { timeout: 5_000 });
    expect(await portal.run.add(1, 2)).toBe(3);
  });

  test("fails, and does not hang, when a message before it in the same write cannot be sent", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await world.actor("target", { enableModules: [module.href] });
    await using portal = await waitForActor<Exports>("target", { timeout: 5_000 });
    const binary = new Uint8Array(20_000);
    const gone = failure(portal.run.echo(binary));
    binary.buffer.transfer();
    // large enough to be written at once, together with what waits
    const behind = failure(portal.run.echo("x".repeat(60_000)));
    expect(await gone).toBeInstanceOf(TransportClosedError);
    expect(await behind).toBeInstanceOf(TransportClosedError);
  });
});

describe("LocalPortal", () => {
  test("has the same verbs, checks, copies and errors as a remote one, and no socket", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, enableModules: [module.href] });
    await using portal = (await findActor<Exports>("root"))!;
    expect(portal).toBeInstanceOf(LocalPortal);
    expect(portal.id).toEqual(actor.id);
    expect(await portal.run.add(1, 2)).toBe(3);
    const sent = { list: [1] };
    const received = (await portal.run.echo(sent)) as typeof sent;
    expect(received).toEqual(sent);
    expect(received).not.toBe(sent);
    expect(await failure(untyped(portal)["echo"]!(() => {}))).toBeInstanceOf(EncodeError);
    expect(await failure(untyped(portal)["nothing"]!())).toBeInstanceOf(NotExposedError);
    const error = (await failure(portal.run.failDeep())) as RemoteActorError;
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error.cause).toBeInstanceOf(TypeError);
    expect(await failure(portal.with({ timeout: 20 }).run.hang("local"))).toBeInstanceOf(TimeoutError);
    expect(actor.stats().peers).toBe(0);
  });
});
