/** Whatever limit is reached, there is room for the message that says so, and no other call notices. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import type { Runtime } from "../../src/actor/runtime.ts";
import type { Peer } from "../../src/channel/peer.ts";
import { LimitError, openNursery, RemoteActorError, TransportClosedError } from "../../src/index.ts";
import type { Limits } from "../../src/limits.ts";
import type { Session } from "../../src/rpc/session.ts";
import { Kind } from "../../src/wire/messages.ts";
import { actor, soon, targetOf } from "../channel/actors.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const large = new URL("../fixtures/large.ts", import.meta.url);
type Large = typeof import("../fixtures/large.ts");

/** Two actors of this process, connected. */
class Two implements AsyncDisposable {
  readonly near: Runtime;
  readonly far: Runtime;
  readonly peer: Peer<Session>;

  private constructor(near: Runtime, far: Runtime, peer: Peer<Session>) {
    this.near = near;
    this.far = far;
    this.peer = peer;
  }

  static async open(
    limits: Partial<Limits>,
    functions: Record<string, (...args: never[]) => unknown> = {},
  ): Promise<Two> {
    const near = await actor("near", { limits });
    const far = await actor("far", { limits, functions });
    return new Two(near, far, await near.peers.connect(targetOf(far), soon()));
  }

  call(name: string, ...args: unknown[]): Promise<unknown> {
    return this.peer.handler.call(name, args);
  }

  /** The far end of the connection. */
  get farPeer(): Peer<Session> {
    return this.far.peers.get(this.near.uuid)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.near.cancel(), this.far.cancel()]);
  }
}

describe("results beyond maxPendingSendBytes", () => {
  test("are a LimitError for their own calls: 8 of 10 MB at once from a child, which goes on", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Large>("child", { module: large });
    const calls = Array.from({ length: 8 }, () =>
      child.run.held(10_000_000).then(
        (value) => value.length,
        (error: unknown) => error,
      ),
    );
    const pid = await child.run.release();
    const outcomes = await Promise.all(calls);
    const errors = outcomes.filter((outcome) => typeof outcome !== "number");
    expect(outcomes.filter((outcome) => outcome === 10_000_000)).toHaveLength(7);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toBeInstanceOf(LimitError);
    expect((errors[0] as Error).message).toContain("maxPendingSendBytes 67108864");
    expect(await child.run.release()).toBe(pid);
    expect(nursery.signal.aborted).toBe(false);
  }, 30_000);

  test("leave room for an error that was thrown: it arrives as itself, after them", async () => {
    const gate = Promise.withResolvers<void>();
    await using two = await Two.open(
      { maxPendingSendBytes: 500_000 },
      {
        big: () => gate.promise.then(() => "x".repeat(400_000)),
        fails: () =>
          gate.promise.then(() => {
            throw new TypeError("as itself");
          }),
      },
    );
    const big = Array.from({ length: 4 }, () => two.call("big").catch((error: Error) => error.name));
    const failing = failure(two.call("fails"));
    await two.call("echo", 1);
    two.peer.channel.link.pause();
    gate.resolve();
    await until(() => two.farPeer.channel.link.pendingBytes > 500_000);
    two.peer.channel.link.resume();
    expect(await failing).toMatchObject({ name: "RemoteActorError", remoteName: "TypeError" });
    const outcomes = await Promise.all(big);
    expect(outcomes.filter((outcome) => outcome === "LimitError").length).toBeWithin(1, 3);
    expect(two.peer.isOpen).toBe(true);
  });

  test("for a thousand calls in flight are a thousand answers", async () => {
    const gate = Promise.withResolvers<void>();
    // none of them has a place in the room for errors, which is a quarter of this
    const limits = { maxPendingSendBytes: 100_000 };
    await using two = await Two.open(limits, { big: () => gate.promise.then(() => "x".repeat(50_000)) });
    const calls = Array.from({ length: 1_000 }, () =>
      two.call("big").then(
        () => "answered",
        (error: unknown) => (error instanceof LimitError ? "refused" : error),
      ),
    );
    await two.call("echo", 1);
    two.peer.channel.link.pause();
    gate.resolve();
    await until(() => two.farPeer.channel.link.pendingBytes > 100_000);
    two.peer.channel.link.resume();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["answered", "refused"]));
    expect(await two.call("echo", "still here")).toBe("still here");
  });
});

describe("a cancel", () => {
  test("while maxPendingSendBytes wait reaches the callee, and the other call is answered", async () => {
    const reasons: unknown[] = [];
    let started = 0;
    await using two = await Two.open(
      { maxPendingSendBytes: 500_000 },
      {
        size: (text: string) => text.length,
        hang: async () => {
          const { currentTask } = await import("../../src/index.ts");
          const { signal } = currentTask();
          started++;
          signal.addEventListener("abort", () => reasons.push((signal.reason as Error).message));
          await new Promise(() => {});
        },
      },
    );
    const controller = new AbortController();
    const hanging = failure(two.peer.handler.call("hang", [], { signal: controller.signal }));
    await until(() => started === 1);
    two.farPeer.channel.link.pause();
    const call = two.call("size", "x".repeat(800_000));
    await until(() => two.peer.channel.link.pendingBytes > 500_000);
    expect(await failure(two.call("echo", 3))).toBeInstanceOf(LimitError);
    controller.abort(new Error("the reason"));
    expect((await hanging).message).toBe("the reason");
    two.farPeer.channel.link.resume();
    expect(await call).toBe(800_000);
    await until(() => reasons.length === 1);
    expect(await two.call("echo", "still here")).toBe("still here");
  });

  test("of a dialog with a reason of any length ends the dialog and nothing else", async () => {
    await using two = await Two.open(
      { maxFrameBytes: 100_000 },
      {
        talk: async (ctx: { started(): Promise<void>; signal: AbortSignal }) => {
          await ctx.started();
          await new Promise((_, reject) =>
            ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)),
          );
        },
      },
    );
    const exchange = two.peer.handler.exchange(Kind.open, "talk", []);
    await exchange.started;
    exchange.cancel(exchange.ownCancel("y".repeat(1_000_000)));
    expect(await exchange.ended).toMatchObject({ error: { name: "ContextCancelledError" } });
    expect(await two.call("echo", "still here")).toBe("still here");
  });
});

describe("an error", () => {
  test("arrives although maxFrameBytes is less than it takes, and so does the LimitError of a result", async () => {
    await using two = await Two.open(
      { maxFrameBytes: 100 },
      {
        fails: () => {
          throw new TypeError("more than a hundred bytes, with its stack");
        },
      },
    );
    expect(await failure(two.call("fails"))).toBeInstanceOf(RemoteActorError);
    expect(await failure(two.call("echo", "x".repeat(100)))).toBeInstanceOf(LimitError);
    expect(await two.call("echo", 1)).toBe(1);
  });

  test("that is too large itself is shortened", async () => {
    await using two = await Two.open(
      { maxFrameBytes: 100_000 },
      {
        fails: () => {
          throw Object.assign(new TypeError("large"), {
            data: "x".repeat(1_000_000),
            name: "N".repeat(1_000_000),
          });
        },
      },
    );
    const error = await failure(two.call("fails"));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("which cannot be sent: frame of");
    expect(await two.call("echo", 1)).toBe(1);
  });
});

describe("a peer that never reads", () => {
  let far: Runtime;
  let answered = 0;
  beforeAll(async () => {
    const limits = { maxPendingSendBytes: 400_000, maxFrameBytes: 1_000_000 };
    const text = "x".repeat(300_000);
    const large = (): string => {
      answered++;
      return text;
    };
    far = await actor("far", { limits, functions: { large } });
  });
  afterAll(async () => await far.cancel());

  test("and calls on and on loses its connection when 65,536 calls wait for an answer, and holds a quarter more than maxPendingSendBytes at the most", async () => {
    await using peer = await RawPeer.connect(far.addrs[0]!, { name: "deaf" });
    await peer.take(Kind.hello);
    const deaf = far.peers.byName("deaf")![0]!;
    peer.pause();
    let most = 0;
    let id = 0;
    answered = 0;
    for (let round = 0; round < 200 && deaf.isOpen; round++) {
      const calls = Array.from(
        { length: round < 2 ? 2 : 500 },
        () => [Kind.call, ++id, "large", []] as const,
      );
      peer.send(...calls);
      while (answered < id && deaf.isOpen) await Bun.sleep(0);
      most = Math.max(most, deaf.channel.link.pendingBytes);
    }
    const end = await deaf.closed;
    expect(end.error).toBeInstanceOf(LimitError);
    expect(end.error?.message).toContain("65536 calls wait for a reply");
    expect(end.error?.message).toContain("maxPendingSendBytes 400000");
    // what was let in last, and the room for errors
    expect(id).toBeWithin(65_536, 67_000);
    expect(most).toBeWithin(400_000, 400_000 + 300_000 + 131_072);
  });

  test("gets its refusal without a look at all of the answer that doesn't fit", async () => {
    await using peer = await RawPeer.connect(far.addrs[0]!, { name: "deaf" });
    await peer.take(Kind.hello);
    const served = far.peers.byName("deaf")![0]!;
    peer.pause();
    while (served.channel.link.pendingBytes <= 400_000) {
      peer.send([Kind.call, 1, "large", []]);
      await Bun.sleep(0);
    }
    let looked = 0;
    const entry = {
      get addrs() {
        looked++;
        return "x".repeat(1_000);
      },
    };
    served.handler.reply(2, [...Array.from({ length: 70 }, () => "x".repeat(1_000)), entry]);
    expect(looked).toBe(0);
    expect(served.isOpen).toBeTrue();
  });

  test("loses its connection to what is pushed to it, at a bounded point", async () => {
    await using peer = await RawPeer.connect(far.addrs[0]!, { name: "deaf" });
    await peer.take(Kind.hello);
    const served = far.peers.byName("deaf")![0]!;
    peer.pause();
    let pushed = 0;
    while (served.isOpen && pushed < 10_000_000) {
      served.channel.post([Kind.removed, "name", "x".repeat(1_000), 1]);
      pushed += 1_000;
    }
    expect((await served.closed).error).toBeInstanceOf(LimitError);
    expect(pushed).toBeWithin(400_000, 1_500_000);
  });

  test("and is called gets the calls that fit; the others reject, and none is lost with the connection", async () => {
    const near = await actor("near", { limits: { maxPendingSendBytes: 400_000 } });
    await using peer = await RawPeer.connect(near.addrs[0]!, { name: "deaf" });
    await peer.take(Kind.hello);
    peer.pause();
    const session = near.peers.byName("deaf")![0]!.handler;
    const outcomes = Array.from({ length: 30 }, () =>
      session.call("f", ["x".repeat(50_000)]).catch((error: Error) => error),
    );
    const refused = await Promise.race([outcomes.at(-1)!, Bun.sleep(1_000)]);
    expect(refused).toBeInstanceOf(LimitError);
    peer.cut();
    const ends = await Promise.all(outcomes);
    expect(ends.every((end) => end instanceof LimitError || end instanceof TransportClosedError)).toBe(true);
    await near.cancel();
  });
});
