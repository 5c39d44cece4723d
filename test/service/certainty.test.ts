/** What a service makes of an instance that refuses, leaves or is lost: what certainly didn't run goes to another. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";

import {
  type Actor,
  ActorDrainingError,
  ContextCancelledError,
  openRootActor,
  openService,
  RemoteActorError,
  type Service,
  type ServiceOptions,
  TransportClosedError,
} from "../../src/index.ts";
import { encodeFailure, encodeRefusal } from "../../src/rpc/remote-error.ts";
import { Kind } from "../../src/wire/messages.ts";
import { drain as readAll, failure } from "../support/outcome.ts";
import { RawDirectory, RawInstance } from "../support/raw-instances.ts";
import { until } from "../support/world.ts";

let directory: RawDirectory;
let actor: Actor;
let one: RawInstance;
let two: RawInstance;

beforeEach(async () => {
  directory = new RawDirectory("w");
  actor = await openRootActor({ registryAddrs: [directory.registrar.addr] });
  [one, two] = [new RawInstance("w"), new RawInstance("w")];
  directory.put(one);
});

afterEach(async () => {
  await actor.cancel();
  for (const part of [one, two, directory]) await part[Symbol.asyncDispose]();
});

/** A service that knows the first instance, and is connected to it. */
async function connected(options: ServiceOptions = {}): Promise<Service> {
  const service = await openService("w", options);
  const first = service.run["fn"]();
  const [, id] = await one.take();
  (await one.peer()).send([Kind.result, id, null]);
  await first;
  return service;
}

/** Lets the second instance take what comes, and answer each call. */
async function comeToHelp(): Promise<void> {
  directory.put(two);
  void two.answerAll().catch(() => {});
}

function identity({ uuid }: RawInstance) {
  return { name: "w", uuid, pid: process.pid, host: "" };
}

/** How that instance refuses a request when it drains. */
function refusal(instance: RawInstance): unknown[] {
  return encodeRefusal(new ActorDrainingError(identity(instance), "draining"));
}

describe("a call", () => {
  test("that is refused because its instance drains goes to another, and so do those after it", async () => {
    await using service = await connected();
    const call = service.run["fn"](1);
    const [, id] = await one.take();
    (await one.peer()).send([Kind.error, id, refusal(one)]);
    // it waits for an instance
    await comeToHelp();
    expect(await call).toBe(two.uuid);
    for (let at = 0; at < 5; at++) expect(await service.run["fn"]()).toBe(two.uuid);
    expect(one.asked).toHaveLength(2);
    // the registrar hasn't said so yet
    expect(service.instances.map(({ id: { uuid } }) => uuid)).toEqual([one.uuid, two.uuid]);
    directory.put(one, { state: "draining" });
    await until(() => service.instances.length === 1);
  });

  test("whose function fails with what an instance refuses with did run, and fails", async () => {
    await using service = await connected();
    const call = failure(service.run["fn"](1));
    const [, id] = await one.take();
    const thrown = new ActorDrainingError(identity(one), "draining");
    (await one.peer()).send([Kind.error, id, encodeFailure(thrown, identity(one))]);
    expect(await call).toBeInstanceOf(RemoteActorError);
  });

  test("that had left when its connection was cut rejects, and says that it may have run", async () => {
    await using service = await connected();
    const call = failure(service.run["fn"](1));
    await one.take();
    directory.put(two);
    (await one.peer()).cut();
    const error = await call;
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.message).toMatch(
      /^fn may have run on w#\w{8}: connection to w#\w{8} was lost: the peer died$/,
    );
    expect(error.message).toContain(one.uuid.slice(0, 8));
    expect(two.asked).toEqual([]);
  });

  test("of which not all had left when its connection was cut goes to another", async () => {
    await using service = await connected();
    const peer = await one.peer();
    peer.pause();
    const written = failure(service.run["fn"]("small"));
    const large = "x".repeat(8_000_000);
    const partly = service.run["fn"](large);
    const queued = service.run["fn"]("queued");
    const { pendingBytes } = await unsent();
    expect(pendingBytes).toBeGreaterThan(0);
    // in the batch of a turn that has yet to end
    const batched = service.run["fn"]("batched");
    peer.cut();
    await comeToHelp();
    expect(await Promise.all([partly, queued, batched])).toEqual([two.uuid, two.uuid, two.uuid]);
    expect((await written).message).toContain("may have run");
    expect(two.peers[0]!.received.slice(1).map(([, , , args]) => args)).toEqual([
      [large],
      ["queued"],
      ["batched"],
    ]);
  });

  test("that an instance which leaves had not read goes to another; one that it had read rejects", async () => {
    await using service = await connected();
    const calls = [1, 2, 3].map((at) => service.run["fn"](at) as Promise<unknown>);
    const running = failure(calls[1]!);
    const peer = await one.peer();
    const ids = [(await one.take())[1], (await one.take())[1], (await one.take())[1]];
    peer.send([Kind.result, ids[0], "done"], [Kind.bye, "over", [ids[1]]]);
    await comeToHelp();
    expect(await calls[0]).toBe("done");
    expect((await running).message).toMatch(/^fn may have run on w#\w{8}: .* was closed by the peer$/);
    expect(await calls[2]).toBe(two.uuid);
  });

  test("that is made in the moment in which its instance leaves goes to another", async () => {
    await using service = await connected();
    const next = (service.run["fn"](1) as Promise<unknown>).then(
      () => service.run["fn"](2) as Promise<unknown>,
    );
    const [, id] = await one.take();
    (await one.peer()).send([Kind.result, id, "done"], [Kind.bye, "over", []]);
    await comeToHelp();
    expect(await next).toBe(two.uuid);
    expect(one.asked).toHaveLength(2);
  });

  test("rejects when an instance leaves that doesn't say what it has read", async () => {
    await using service = await connected();
    const call = failure(service.run["fn"](1));
    await one.take();
    (await one.peer()).send([Kind.bye, "over"]);
    expect((await call).message).toContain("may have run");
  });

  test("goes to another when the first refuses the connection, which the registrar hears of", async () => {
    const reports: unknown[] = [];
    await one[Symbol.asyncDispose]();
    directory.put(two);
    await using service = await openService("w");
    void two.answerAll().catch(() => {});
    const seen = await Promise.all(Array.from({ length: 4 }, () => service.run["fn"]()));
    expect(new Set(seen)).toEqual(new Set([two.uuid]));
    await until(() => {
      for (const { received } of directory.registrar.peers)
        reports.push(...received.filter(([kind, uuid]) => kind === Kind.report && uuid === one.uuid));
      return reports.length > 0;
    });
  });

  test("is sent again over another connection when the first ends before it", async () => {
    await using service = await connected();
    (await one.peer()).cut();
    const call = service.run["fn"]("again");
    await until(() => one.peers.length === 2);
    const [, id] = await one.peers[1]!.take(Kind.call);
    one.peers[1]!.send([Kind.result, id, "answer"]);
    expect(await call).toBe("answer");
  });
});

describe("an idempotent call", () => {
  test("goes to another instance when its own is lost, or leaves", async () => {
    await using service = await connected();
    const safe = service.with({ idempotent: true });
    const calls = [safe.run["fn"](1), safe.run["fn"](2)];
    const lost = failure(service.run["fn"](3));
    for (let at = 0; at < 3; at++) await one.take();
    await comeToHelp();
    (await one.peer()).cut();
    expect(await Promise.all(calls)).toEqual([two.uuid, two.uuid]);
    expect(await lost).toBeInstanceOf(TransportClosedError);
  });

  test("goes to another when its instance ends and cuts it short", async () => {
    await using service = await connected();
    const safe = service.with({ idempotent: true }).run["fn"](1);
    const other = failure(service.run["fn"](2));
    const ids = [(await one.take())[1], (await one.take())[1]];
    const reason = encodeFailure(new ContextCancelledError(identity(one), "cancelActor"), identity(one));
    (await one.peer()).send([Kind.error, ids[0], reason], [Kind.error, ids[1], reason]);
    const [, again] = await one.take();
    (await one.peer()).send([Kind.error, again, refusal(one)]);
    await comeToHelp();
    expect(await safe).toBe(two.uuid);
    expect(await other).toBeInstanceOf(ContextCancelledError);
  });

  test("gives up after ten losses: it may be what brings its instances down", async () => {
    await using service = await connected();
    await using stack = new AsyncDisposableStack();
    const others = Array.from({ length: 11 }, () => stack.use(new RawInstance("w")));
    for (const instance of others) directory.put(instance);
    directory.remove(one);
    await until(() => service.instances.length === others.length);
    const call = failure(service.with({ idempotent: true }).run["fn"]());
    let isOver = false;
    const killer = until(() => {
      const running = others.flatMap(({ peers }) => peers.filter(({ isOpen }) => isOpen));
      for (const peer of running) if (peer.received.some(([kind]) => kind === Kind.call)) peer.cut();
      return isOver;
    });
    const error = await call;
    isOver = true;
    await killer;
    expect(others.flatMap(({ asked }) => asked)).toHaveLength(11);
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.message).toContain(", the last of 11 instances that were lost with it: connection to w#");
  });
});

describe("a stream", () => {
  test("that is refused, or that an instance which leaves had not read, opens at another", async () => {
    await using service = await connected();
    const streams = [1, 2].map((at) => service.stream["fn"](at) as AsyncGenerator<unknown>);
    const firsts = streams.map((stream) => stream.next());
    const ids = [(await one.take(Kind.stream))[1], (await one.take(Kind.stream))[1]];
    (await one.peer()).send([Kind.error, ids[0], refusal(one)], [Kind.bye, "over", []]);
    directory.put(two);
    for (let at = 0; at < 2; at++) {
      const [, id, , args] = await two.take(Kind.stream);
      (await two.peer()).send([Kind.item, id, args], [Kind.result, id, "end"]);
    }
    const values = await Promise.all(firsts);
    expect(new Set(values.map(({ value }) => (value as number[])[0]))).toEqual(new Set([1, 2]));
    for (const stream of streams) expect(await stream.next()).toEqual({ done: true, value: "end" });
  });

  test("that may have begun when its instance is lost rejects, unless it is idempotent and has given nothing", async () => {
    await using service = await connected();
    const safe = service.with({ idempotent: true });
    const open = [service.stream["a"](), safe.stream["b"](), safe.stream["c"]()] as AsyncGenerator<unknown>[];
    const firsts = open.map((stream) => stream.next());
    const ids = new Map<unknown, unknown>();
    for (let at = 0; at < 3; at++) {
      const [, id, fn] = await one.take(Kind.stream);
      ids.set(fn, id);
    }
    const peer = await one.peer();
    peer.send([Kind.item, ids.get("c"), "first"]);
    expect(await firsts[2]).toEqual({ done: false, value: "first" });
    const lost = failure(firsts[0]!);
    const rest = readAll(open[2]!);
    directory.put(two);
    peer.cut();
    expect((await lost).message).toMatch(/^a may have run on w#/);
    expect((await rest).error).toBeInstanceOf(TransportClosedError);
    const [, id, fn] = await two.take(Kind.stream);
    expect(fn).toBe("b");
    (await two.peer()).send([Kind.item, id, "elsewhere"], [Kind.result, id]);
    expect(await firsts[1]).toEqual({ done: false, value: "elsewhere" });
    expect((await readAll(open[1]!)).values).toEqual([]);
    expect(two.asked).toEqual(["b"]);
  });

  test("that is left before its first value ends at its instance", async () => {
    await using service = await connected();
    const stream = service.stream["fn"]() as AsyncGenerator<unknown>;
    const first = stream.next();
    const [, id] = await one.take(Kind.stream);
    const left = stream.return("bye");
    const [, cancelled] = await one.take(Kind.cancel);
    expect(cancelled).toBe(id);
    const reason = new ContextCancelledError(actor.id, "the reader left");
    (await one.peer()).send([Kind.error, id, encodeFailure(reason, identity(one))]);
    expect(await left).toEqual({ done: true, value: "bye" });
    await first.catch(() => {});
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });
});

describe("a dialog", () => {
  test("that is refused opens at another; one whose instance is lost before it has started rejects", async () => {
    await using service = await connected();
    const lost = failure(service.open["a"]());
    const opening = service.open["b"]();
    const ids = [(await one.take(Kind.open))[1], (await one.take(Kind.open))[1]];
    directory.put(two);
    (await one.peer()).send([Kind.error, ids[1], refusal(one)]);
    const [, id, fn] = await two.take(Kind.open);
    expect(fn).toBe("b");
    (await two.peer()).send([Kind.started, id, "hello"], [Kind.result, id, "end"]);
    const dialog = await opening;
    expect(dialog.started).toBe("hello");
    expect(await dialog.result).toBe("end");
    await dialog[Symbol.asyncDispose]();
    (await one.peer()).cut();
    expect((await lost).message).toMatch(/^a may have run on w#/);
  });
});

/** What waits to be written to the first instance, once this turn has ended. */
async function unsent(): Promise<{ pendingBytes: number }> {
  const { currentRuntime } = await import("../../src/actor/current.ts");
  await new Promise((resolve) => setImmediate(resolve));
  return currentRuntime().peers.get(one.uuid)!.channel.link;
}
