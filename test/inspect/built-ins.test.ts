/** The functions that every actor serves as `furrow.<name>`. */
import { describe, expect, test } from "bun:test";
import { join, relative } from "node:path";

import {
  currentActor,
  findActor,
  LocalPortal,
  NotExposedError,
  openNursery,
  openRootActor,
  PermissionDeniedError,
  type Portal,
  SpawnError,
} from "../../src/index.ts";
import { Dispatcher } from "../../src/rpc/callee/dispatch.ts";
import { Policy } from "../../src/rpc/policy.ts";
import { arrivals, openGate } from "../fixtures/gates.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

const source = join(import.meta.dir, "../../src");
const modules = new URL("../fixtures/modules.ts", import.meta.url);
type Modules = typeof import("../fixtures/modules.ts");
const drains = new URL("../fixtures/drains.ts", import.meta.url);
type Drains = typeof import("../fixtures/drains.ts");
const gates = new URL("../fixtures/gates.ts", import.meta.url);

type Untyped = Portal;

function ping(portal: Portal<never> | Untyped): Promise<{ id: unknown }> {
  return (portal as Untyped).run["furrow.ping"]();
}

describe("furrow.ping", () => {
  test("is answered by every actor: a child without modules, a root, and the actor itself", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child: Untyped = await nursery.startActor("child", {});
    const other = await world.actor("other");
    await using root = await findActor("other", { raiseOnNone: true });
    const { id: self } = currentActor();
    const own = new LocalPortal((await import("../../src/actor/current.ts")).currentRuntime());
    for (const portal of [child, root, own]) expect((await ping(portal)).id).toEqual(portal.id);
    expect(own.id).toEqual(self);
    expect(root.id.pid).toBe(other.pid);
  });

  test("is answered while the actor's only place is taken, and while it drains", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "gates", enableModules: [gates] });
    const serial = await nursery.startActor<Drains>("serial", { module: drains, concurrency: 1 });
    const call = serial.run.noted("one", "built-ins");
    await arrivals("built-ins");
    expect((await ping(serial as Untyped)).id).toEqual(serial.id);
    const drained = serial.drainActor();
    // a call of an unknown function doesn't wait for its turn
    const missing = () => failure((serial as Untyped).run["missing"]());
    while ((await missing()).name !== "ActorDrainingError");
    expect((await ping(serial as Untyped)).id).toEqual(serial.id);
    openGate("built-ins");
    await call;
    expect(await drained).toBeTrue();
  });
});

describe("built-in functions", () => {
  test("are loaded by the first call of one, and not by a call of another function", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Modules>("child", { module: modules });
    const loaded = async (): Promise<string[]> =>
      (await child.run.modules()).map((file) => relative(source, file));
    expect((await failure((child as Untyped).run["missing"]())).name).toBe("NotExposedError");
    expect((await loaded()).filter((file) => file.startsWith("inspect/"))).toEqual([]);
    await ping(child);
    expect(await loaded()).toContain("inspect/inspection.ts");
  });

  test("are subject to the policy, as an export is", async () => {
    const dispatcher = new Dispatcher({ name: "actor", uuid: "u", pid: 1, host: "h" });
    dispatcher.builtIns = () => ({
      look: { fn: () => 1 },
      numbers: { fn: async function* () {} },
      steer: { fn: () => 2, needsStop: true },
    });
    const may = (call: string[] | undefined, stop?: boolean) =>
      new Policy([
        { from: "*", ...(call && { call }), ...(stop === undefined ? {} : { stop }) },
      ]).permissionsOf({ auth: "tls", subject: "web" });
    const find = (name: string, permissions = may(undefined), verb: "run" | "stream" = "run"): unknown =>
      dispatcher.find(name, verb, permissions).fn();
    expect(find("furrow.look")).toBe(1);
    expect(find("furrow.look", may(["furrow.*"]))).toBe(1);
    expect(() => find("furrow.look", may(["add"]))).toThrow(PermissionDeniedError);
    expect(() => find("furrow.nope", may(["add"]))).toThrow(PermissionDeniedError);
    expect(() => find("furrow.steer")).toThrow(PermissionDeniedError);
    expect(() => find("furrow.steer", may(["add"], true))).toThrow(PermissionDeniedError);
    expect(find("furrow.steer", may(["furrow.steer"], true))).toBe(2);
    expect(() => find("furrow.numbers")).toThrow(NotExposedError);
    expect(find("furrow.numbers", may(undefined), "stream")).toBeDefined();
    expect(() => find("furrow.loook")).toThrow('did you mean "furrow.look"?');
    // not under its short name, which is the program's
    expect(() => find("look")).toThrow(NotExposedError);
  });

  test("can't be hidden by an export", async () => {
    await using world = new World();
    const file = join(world.dir, "hides.ts");
    await Bun.write(file, 'function hides() {}\nexport { hides as "furrow.ping" };\n');
    await using _ = await openRootActor(world.options);
    const { openNursery: open } = await import("../../src/index.ts");
    await using nursery = await open();
    const error = await failure(nursery.startActor("child", { module: file }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toContain('"furrow.ping", a name reserved for furrow');
  });
});
