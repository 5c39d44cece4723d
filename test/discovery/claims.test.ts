import { describe, expect, test } from "bun:test";

import { type Claim, Claims, type NameState } from "../../src/discovery/claims.ts";
import { ClaimMode } from "../../src/wire/messages.ts";

const free: NameState = { registered: "none", isSettled: true, isElsewhere: false };
const registered: NameState = { registered: "ready", isSettled: true, isElsewhere: false };
const draining: NameState = { registered: "draining", isSettled: true, isElsewhere: false };
/** A registrar that has just taken over. */
const fresh: NameState = { registered: "none", isSettled: false, isElsewhere: false };
const freshAndRegistered: NameState = { registered: "ready", isSettled: false, isElsewhere: false };

/** Names and members in the order of the alphabet; "x" is claimed unless another name is given. */
class Scene {
  readonly claims = new Claims<string>(10);

  ask(member: string, state: NameState, claim: Partial<Claim<string>> = {}): string[] {
    return this.#shown(this.claims.ask(claimOf(member, claim), state));
  }

  settle(state: NameState, name = "x"): string[] {
    return this.#shown(this.claims.settle(name, state));
  }

  #shown(decisions: ReturnType<Claims<string>["ask"]>): string[] {
    return decisions.map(({ claim, verdict }) => `${claim.member}: ${verdict}`);
  }

  /** Who belongs to the hold of a name, and who waits: "a b | c | d" */
  shown(name = "x"): string {
    const held = Array.from(this.claims.hold(name)?.members ?? []).join(" ");
    return [held, ...this.claims.line(name).map(({ member }) => member)].join(" | ");
  }
}

function claimOf(member: string, changes: Partial<Claim<string>> = {}): Claim<string> {
  return {
    member,
    name: "x",
    key: `${member}'s`,
    isUnique: false,
    mode: ClaimMode.take,
    isOwn: true,
    ...changes,
  };
}

const join = { mode: ClaimMode.join, key: "a's" };
const resume = { mode: ClaimMode.resume, key: "a's" };
const unique = { isUnique: true };

describe("Claims", () => {
  test("let those wait who ask for a name that another host has, until that is free or registered", () => {
    const elsewhere: NameState = { ...free, isElsewhere: true };
    const scene = new Scene();
    expect(["a", "b"].map((member) => scene.ask(member, elsewhere))).toEqual([[], []]);
    expect(scene.ask("c", elsewhere, unique)).toEqual(["c: taken"]);
    expect(scene.ask("d", elsewhere, { mode: ClaimMode.resume, key: "d's" })).toEqual(["d: taken"]);
    expect(scene.settle({ ...registered, isElsewhere: true })).toEqual(["a: registered", "b: registered"]);
    scene.ask("a", elsewhere);
    expect(scene.settle(free)).toEqual(["a: granted"]);
  });

  test("end a hold that another host has got, and report each that is over", () => {
    const over: string[] = [];
    const claims = new Claims<string>(10, ({ key }) => over.push(key));
    claims.ask(claimOf("a"), free);
    claims.ask(claimOf("c", { ...join }), free);
    claims.withdraw("a", "x", "a's");
    expect(over).toEqual([]);
    claims.leave("c");
    expect(over).toEqual(["a's"]);
    claims.ask(claimOf("a"), free);
    claims.revoke(claims.hold("x")!);
    expect([over, claims.hold("x"), claims.leave("a").size]).toEqual([["a's"], undefined, 0]);
  });

  test("grant a free name to the first, and let the others wait in the order of arrival", () => {
    const scene = new Scene();
    expect(["a", "b", "c"].map((member) => scene.ask(member, free))).toEqual([["a: granted"], [], []]);
    expect(scene.shown()).toBe("a | b | c");
    scene.claims.withdraw("a", "x", "a's");
    expect(scene.settle(free)).toEqual(["b: granted"]);
    expect(scene.shown()).toBe("b | c");
    expect(scene.ask("a", free, { name: "y" })).toEqual(["a: granted"]);
  });

  test("answer all that wait with what is registered, and those that come later", () => {
    const scene = new Scene();
    for (const member of ["a", "b", "c"]) scene.ask(member, free);
    expect(scene.settle(registered)).toEqual(["b: registered", "c: registered"]);
    expect(scene.ask("d", registered)).toEqual(["d: registered"]);
    expect(scene.shown()).toBe("a");
  });

  test("hold a name until all who belong to it have left, though no actor is registered", () => {
    const scene = new Scene();
    scene.ask("a", free);
    expect(scene.ask("child", free, join)).toEqual(["child: joined"]);
    scene.ask("b", free);
    scene.claims.withdraw("a", "x", "a's");
    expect(scene.settle(free)).toEqual([]);
    expect(scene.shown()).toBe("child | b");
    expect(Array.from(scene.claims.leave("child"))).toEqual(["x"]);
    expect(scene.settle(free)).toEqual(["b: granted"]);
  });

  test("neither grant the name of an actor that drains, nor show that actor", () => {
    const scene = new Scene();
    expect(scene.ask("a", draining)).toEqual([]);
    expect(scene.ask("b", draining, unique)).toEqual(["b: taken"]);
    expect(scene.settle(draining)).toEqual([]);
    expect(scene.settle(free)).toEqual(["a: granted"]);
  });

  test("let no one join a hold that is over, or another's", () => {
    const scene = new Scene();
    expect(scene.ask("child", free, join)).toEqual(["child: lapsed"]);
    expect(scene.ask("child", registered, join)).toEqual(["child: taken"]);
    scene.ask("b", free);
    expect(scene.ask("child", free, join)).toEqual(["child: taken"]);
    expect(scene.ask("a", free, resume)).toEqual(["a: taken"]);
    expect(scene.shown()).toBe("b");
  });

  test("refuse a unique claim while the name is held or registered, and never let it wait for that", () => {
    const scene = new Scene();
    expect(scene.ask("a", registered, unique)).toEqual(["a: taken"]);
    expect(scene.ask("a", free, unique)).toEqual(["a: granted"]);
    expect(scene.ask("b", free, unique)).toEqual(["b: taken"]);
    expect(scene.ask("c", free)).toEqual([]);
    expect(scene.claims.hold("x")?.isUnique).toBeTrue();
  });

  test("make a shared hold unique by a member that asks for it, unless others are registered", () => {
    const scene = new Scene();
    scene.ask("a", free);
    expect(scene.ask("child", registered, { ...join, ...unique })).toEqual(["child: taken"]);
    expect(scene.claims.hold("x")?.isUnique).toBeFalse();
    expect(scene.ask("child", free, { ...join, ...unique })).toEqual(["child: joined"]);
    expect(scene.claims.hold("x")?.isUnique).toBeTrue();
    // its successor, while it is still registered
    expect(scene.ask("next", registered, { ...join, ...unique })).toEqual(["next: joined"]);
  });

  test("grant nothing while actors may be on their way back, except what was held before", () => {
    const scene = new Scene();
    expect(scene.ask("b", fresh)).toEqual([]);
    expect(scene.ask("c", fresh, unique)).toEqual([]);
    expect(scene.ask("child", fresh, join)).toEqual([]);
    expect(scene.ask("d", freshAndRegistered)).toEqual(["d: registered"]);
    // those that came too early are decided with it
    expect(scene.ask("a", fresh, resume)).toEqual(["a: granted", "c: taken", "child: joined"]);
    expect(scene.shown()).toBe("a child | b");
    expect(scene.settle(free)).toEqual([]);
    expect(scene.ask("e", fresh, { ...resume, ...unique, name: "y" })).toEqual(["e: granted"]);
  });

  test("decide on all that waited, once no more can come back", () => {
    const scene = new Scene();
    scene.ask("child", fresh, join);
    scene.ask("b", fresh);
    scene.ask("c", fresh, unique);
    expect(scene.settle(free)).toEqual(["child: lapsed", "b: granted", "c: taken"]);
    scene.claims.leave("b");
    expect(scene.ask("d", fresh, unique)).toEqual([]);
    expect(scene.settle(free)).toEqual(["d: granted"]);
  });

  test("give a hold back to one that reconnects, if no other has the name", () => {
    const scene = new Scene();
    expect(scene.ask("a", registered, { ...resume, ...unique })).toEqual(["a: taken"]);
    expect(scene.ask("a", free, { ...resume, ...unique })).toEqual(["a: granted"]);
    expect(scene.ask("child", registered, { ...resume, ...unique })).toEqual(["child: joined"]);
    scene.claims.leave("a");
    expect(scene.ask("a", registered, { ...resume, ...unique })).toEqual(["a: joined"]);
    expect(scene.shown()).toBe("child a");
  });

  test("give a name that only others hold to this user, and not the other way round", () => {
    const scene = new Scene();
    const others = { isOwn: false };
    expect(scene.ask("stranger", fresh, { ...resume, ...unique, ...others })).toEqual(["stranger: granted"]);
    expect(scene.ask("a", fresh, { ...resume, key: "k" })).toEqual(["a: granted"]);
    expect(scene.ask("stranger", free, others)).toEqual([]);
    expect(scene.shown()).toBe("a | stranger");
    scene.claims.leave("stranger");
    expect(scene.shown()).toBe("a");
    // until one of this user belongs to it
    scene.ask("stranger", free, { name: "y", ...others });
    expect(scene.ask("b", free, { ...join, name: "y", key: "stranger's" })).toEqual(["b: joined"]);
    expect(scene.ask("a", free, { name: "y" })).toEqual([]);
    expect(scene.shown("y")).toBe("stranger b | a");
  });

  test("withdraw only what has the member, the name and the key", () => {
    const scene = new Scene();
    scene.ask("a", free);
    scene.ask("b", free);
    for (const [member, name, key] of [
      ["a", "x", "b's"],
      ["b", "x", "a's"],
      ["b", "y", "b's"],
    ] as const)
      scene.claims.withdraw(member, name, key);
    expect(scene.shown()).toBe("a | b");
    scene.claims.withdraw("b", "x", "b's");
    expect([scene.shown(), scene.claims.awaited]).toEqual(["a", []]);
  });

  test("end all that a member has when it leaves, and name it", () => {
    const scene = new Scene();
    for (const name of ["x", "y"]) for (const member of ["a", "b"]) scene.ask(member, free, { name });
    scene.ask("b", free, { name: "z" });
    scene.ask("a", free, { name: "z" });
    expect(Array.from(scene.claims.leave("a")).toSorted()).toEqual(["x", "y", "z"]);
    expect(Array.from(scene.claims.leave("a"))).toEqual([]);
    expect(["x", "y", "z"].map((name) => scene.shown(name))).toEqual([" | b", " | b", "b"]);
    expect(["x", "y"].map((name) => scene.settle(free, name))).toEqual([["b: granted"], ["b: granted"]]);
  });

  test("dismiss all that wait, and keep what is held", () => {
    const scene = new Scene();
    for (const name of ["x", "y"]) for (const member of ["a", "b"]) scene.ask(member, free, { name });
    expect(scene.claims.dismiss().map(({ name, member }) => `${member} ${name}`)).toEqual(["b x", "b y"]);
    expect([scene.shown("x"), scene.shown("y"), scene.claims.awaited]).toEqual(["a", "a", []]);
  });

  test("bound what a member holds and waits for together, and forget what it gave back", () => {
    const claims = new Claims<string>(2);
    claims.ask(claimOf("a"), free);
    expect(claims.isFull("a")).toBeFalse();
    claims.ask(claimOf("b", { name: "y" }), free);
    claims.ask(claimOf("a", { name: "y" }), free);
    expect([claims.isFull("a"), claims.isFull("b"), claims.isFull("c")]).toEqual([true, false, false]);
    claims.withdraw("a", "y", "a's");
    expect(claims.isFull("a")).toBeFalse();
  });
});
