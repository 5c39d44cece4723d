/** Claims as a registrar serves them, asked by scripted peers. */
import { describe, expect, test } from "bun:test";

import { type Actor, openRootActor, type RootOptions } from "../../src/index.ts";
import { loadTls } from "../../src/transport/tls.ts";
import { ClaimMode, Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { type RawMessage, RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

/** The name and the class of what an error message reports. */
function refusalOf([kind, id, failure]: RawMessage): [id: unknown, error: unknown] {
  expect(kind).toBe(Kind.error);
  return [id, (failure as [unknown, [string]])[1][0]];
}

/** A peer of this user, which has said hello. */
async function connect(world: World, name: string): Promise<RawPeer> {
  const peer = await RawPeer.connect(world.unix, { name, addrs: ["unix:///tmp/nobody.sock"] });
  await peer.take(Kind.hello);
  return peer;
}

/** A registrar in this process, and peers with these names that are connected to it. */
class Desk extends AsyncDisposableStack {
  readonly #world: World = this.use(new World());
  registrar!: Actor;

  static async open(options: RootOptions = {}): Promise<Desk> {
    const desk = new Desk();
    desk.registrar = desk.use(await openRootActor({ ...desk.#world.options, ...options }));
    return desk;
  }

  async peers<const Names extends readonly string[]>(
    ...names: Names
  ): Promise<{ -readonly [At in keyof Names]: RawPeer }> {
    const peers: RawPeer[] = [];
    for (const name of names) peers.push(this.use(await connect(this.#world, name)));
    return peers as { -readonly [At in keyof Names]: RawPeer };
  }
}

const take = (id: number, key: string, isUnique = false, name = "x"): RawMessage => [
  Kind.claim,
  id,
  name,
  isUnique,
  key,
  ClaimMode.take,
];
const join = (id: number, key: string, isUnique = false): RawMessage => [
  Kind.claim,
  id,
  "x",
  isUnique,
  key,
  ClaimMode.join,
];
const register = (id: number): RawMessage => [Kind.register, id, ["unix:///tmp/nobody.sock"]];
/** Is answered after all that was sent before it. */
const mark = (id: number): RawMessage => [Kind.lookup, id, "nobody", false];
const held = (id: number): RawMessage => [Kind.result, id, null];
const marked = (id: number): RawMessage => [Kind.result, id, []];

describe("a registrar", () => {
  test("gives a free name to the first who claims it, and to the next in line when that one gives it back", async () => {
    await using desk = await Desk.open();
    const [a, b, c] = await desk.peers("a", "b", "c");
    a.send(take(1, "a"));
    expect(await a.take()).toEqual(held(1));
    for (const [peer, key] of [
      [b, "b"],
      [c, "c"],
    ] as const) {
      peer.send(take(1, key), mark(2));
      expect(await peer.take()).toEqual(marked(2));
    }
    a.send([Kind.unclaim, "x", "a"]);
    expect(await b.take()).toEqual(held(1));
    // its connection ends without a word
    b.cut();
    expect(await c.take()).toEqual(held(1));
  });

  test("answers all that wait with the actor that registers, before that one is acknowledged", async () => {
    await using desk = await Desk.open();
    const [parent, child, other] = await desk.peers("parent", "x", "other");
    parent.send(take(1, "k"));
    await parent.take();
    child.send(join(1, "k"));
    expect(await child.take()).toEqual(held(1));
    other.send(take(1, "o"), mark(2));
    await other.take();
    child.send(register(2));
    await child.take();
    const [kind, id, list] = await other.take();
    expect([kind, id, (list as unknown[]).length]).toEqual([Kind.result, 1, 1]);
    // and those that come later, though the name is held
    other.send(take(3, "o"));
    expect((await other.take()).slice(0, 2)).toEqual([Kind.result, 3]);
  });

  test("keeps a name that an actor has left until who started it has seen its end", async () => {
    await using desk = await Desk.open();
    const [parent, child, other] = await desk.peers("parent", "x", "other");
    parent.send(take(1, "k"));
    await parent.take();
    child.send(join(1, "k"), register(2));
    await child.take(Kind.result);
    await child[Symbol.asyncDispose]();
    await until(async () => {
      other.send([Kind.lookup, 9, "x", false]);
      return ((await other.take())[2] as unknown[]).length === 0;
    });
    other.send(take(1, "o"), mark(2));
    expect(await other.take()).toEqual(marked(2));
    parent.send([Kind.unclaim, "x", "k"]);
    expect(await other.take()).toEqual(held(1));
  });

  test("lets an actor that is still starting keep the name when who started it is gone", async () => {
    await using desk = await Desk.open();
    const [parent, child, other] = await desk.peers("parent", "x", "other");
    parent.send(take(1, "k"));
    await parent.take();
    child.send(join(1, "k"));
    await child.take();
    other.send(take(1, "o"));
    parent.cut();
    await parent.ended;
    other.send(mark(2));
    expect(await other.take()).toEqual(marked(2));
    child.cut();
    expect(await other.take()).toEqual(held(1));
  });

  test("lets no actor join a claim that has lapsed", async () => {
    await using desk = await Desk.open();
    const [parent, late, other] = await desk.peers("parent", "x", "other");
    parent.send(take(1, "k"));
    await parent.take();
    parent.cut();
    await parent.ended;
    late.send(join(1, "k"));
    expect(refusalOf(await late.take())).toEqual([1, "PermissionDeniedError"]);
    other.send(take(1, "o"));
    await other.take();
    late.send(join(2, "k"));
    expect(refusalOf(await late.take())).toEqual([2, "NameTakenError"]);
  });

  test("refuses a unique name to all others, from the claim until it is given back", async () => {
    await using desk = await Desk.open();
    const [parent, child, other] = await desk.peers("parent", "x", "x");
    parent.send(take(1, "k", true));
    await parent.take();
    other.send(register(1));
    expect(refusalOf(await other.take())).toEqual([1, "NameTakenError"]);
    child.send(join(1, "k", true), register(2));
    expect(await child.take()).toEqual(held(1));
    expect((await child.take()).slice(0, 2)).toEqual([Kind.result, 2]);
    // its successor, before and after it is gone
    const [next] = await desk.peers("x");
    next.send(join(1, "k", true), register(2));
    expect(await next.take()).toEqual(held(1));
    expect((await next.take()).slice(0, 2)).toEqual([Kind.result, 2]);
    child.send([Kind.unregister, 3]);
    next.send([Kind.unregister, 3]);
    await Promise.all([child.take(), next.take()]);
    other.send(register(2), take(3, "o", true));
    expect(refusalOf(await other.take())).toEqual([2, "NameTakenError"]);
    expect(refusalOf(await other.take())).toEqual([3, "NameTakenError"]);
    for (const peer of [parent, child, next]) peer.send([Kind.unclaim, "x", "k"], mark(4));
    for (const peer of [parent, child, next]) await peer.take();
    other.send(register(4));
    expect((await other.take()).slice(0, 2)).toEqual([Kind.result, 4]);
  });

  test("refuses a unique claim of a name that is registered, and names who has it", async () => {
    await using desk = await Desk.open({ name: "x" });
    const { registrar } = desk;
    const [peer] = await desk.peers("peer");
    peer.send(take(1, "k", true));
    const [, , failure] = await peer.take();
    const [, [name, message, , , , fields]] = failure as [unknown, unknown[]];
    expect([name, fields]).toEqual(["NameTakenError", { code: "ERR_NAME_TAKEN", holder: registrar.id }]);
    expect(message).toBe(`the name "x" is taken by x#${registrar.uuid.slice(0, 8)} (pid ${process.pid})`);
  });

  test("doesn't refuse a unique claim for the sake of an actor whose end arrives with it", async () => {
    await using desk = await Desk.open();
    for (let round = 1; round <= 10; round++) {
      const [dying, peer] = await desk.peers("x", "peer");
      dying.send(register(1));
      await dying.take();
      peer.send(take(1, "k", true));
      dying.cut();
      expect(await peer.take()).toEqual(held(1));
      peer.cut();
      await peer.ended;
    }
  });

  test("takes a claim back that was given up before its answer, wherever the two cross", async () => {
    await using desk = await Desk.open();
    const [a, b] = await desk.peers("a", "b");
    a.send(take(1, "a"), [Kind.unclaim, "x", "a"]);
    b.send(take(1, "b"));
    expect(await b.take()).toEqual(held(1));
    a.send(take(2, "a2"), [Kind.unclaim, "x", "a2"], mark(3));
    b.send([Kind.unclaim, "x", "b"], take(2, "b2"));
    expect(await b.take()).toEqual(held(2));
    expect([await a.take(), await a.take()]).toEqual([held(1), marked(3)]);
  });

  test("bounds what one peer holds and waits for, and goes on with it and the others", async () => {
    await using desk = await Desk.open({ limits: { maxCachedNames: 1_000 } });
    const [greedy, other] = await desk.peers("greedy", "other");
    const claims = Array.from({ length: 5_000 }, (_, n) => take(n + 1, `k${n}`, false, `x${n}`));
    greedy.send(...claims);
    const answers = await Promise.all(claims.map(() => greedy.take()));
    expect(answers.filter(([kind]) => kind === Kind.result)).toHaveLength(1_000);
    expect(new Set(answers.slice(1_000).map((answer) => refusalOf(answer)[1]))).toEqual(
      new Set(["LimitError"]),
    );
    other.send(take(1, "o", false, "x1000"));
    expect(await other.take()).toEqual(held(1));
    greedy.send([Kind.unclaim, "x0", "k0"], take(6_000, "again"));
    expect(await greedy.take()).toEqual(held(6_000));
    other.send(take(2, "o", false, "x1"));
    greedy.cut();
    expect(await other.take()).toEqual(held(2));
  });

  test("closes the connection of a peer whose claim is malformed, and tells of a name that can't be", async () => {
    await using desk = await Desk.open();
    for (const malformed of [
      [Kind.claim, 1, "x", false, "", 0],
      [Kind.claim, 1, "x", false, "k".repeat(65), 0],
      [Kind.claim, 1, "x", false, "k", 4],
      [Kind.claim, 1, "x", false, "k"],
      [Kind.claim, 1, "x", "yes", "k", 0],
      [Kind.claim, 1, 7, false, "k", 0],
      [Kind.unclaim, "x"],
      [Kind.unclaim, 1, "k"],
    ] as RawMessage[]) {
      const [peer] = await desk.peers("evil");
      peer.send(malformed);
      await peer.ended;
      expect(peer.received).toHaveLength(1);
    }
    const [peer] = await desk.peers("peer");
    peer.send(take(1, "k", false, ""), take(2, "k", false, "a\nb"), [Kind.unclaim, "never", "was"], mark(3));
    expect(refusalOf(await peer.take())).toEqual([1, "ActorNameError"]);
    expect(refusalOf(await peer.take())).toEqual([2, "ActorNameError"]);
    expect(await peer.take()).toEqual(marked(3));
    expect(desk.registrar.signal.aborted).toBeFalse();
  });
});

describe("by its policy, a registrar", () => {
  test("lets a peer claim the names that it may register, which keeps none from this user", async () => {
    await using world = new World();
    const authority = new Authority();
    const tls = writeTls(world.dir, "server", authority.issue("shop/server"));
    const web = loadTls(writeTls(world.dir, "web", authority.issue("shop/web")));
    const security = { tls, policy: [{ from: "tls", register: ["web-*"] }] };
    await using _registrar = await openRootActor({ ...world.options, security });
    await using stranger = await RawPeer.connect(world.tcp, { name: "web" }, web);
    await stranger.take(Kind.hello);
    stranger.send(take(1, "k", false, "bank"), take(2, "k", true, "web-1"));
    expect(refusalOf(await stranger.take())).toEqual([1, "PermissionDeniedError"]);
    expect(await stranger.take()).toEqual(held(2));
    await using own = await connect(world, "web-1");
    own.send(register(1));
    expect((await own.take()).slice(0, 2)).toEqual([Kind.result, 1]);
    stranger.send(take(3, "k", true, "web-2"));
    expect(await stranger.take()).toEqual(held(3));
    own.send(take(2, "o", true, "web-2"));
    expect(await own.take()).toEqual(held(2));
    stranger.send(take(4, "k", true, "web-2"));
    expect(refusalOf(await stranger.take())).toEqual([4, "NameTakenError"]);
  });
});
