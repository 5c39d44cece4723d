/** The commands that change a tree: stop, drain. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { furrow } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";
import { until } from "../support/world.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

/** How many actors of a name there are. */
async function count(name: string): Promise<number> {
  const { stdout } = await furrow(shop.env, ["ls", "*", "--json"]);
  const { actors } = JSON.parse(stdout) as { actors: { id: { name: string } }[] };
  return actors.filter(({ id }) => id.name === name).length;
}

describe("furrow stop", () => {
  test("ends an actor and those below it, and says so on stderr", async () => {
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["stop", "orders"]);
    expect([exitCode, stdout]).toEqual([0, ""]);
    expect(stderr).toMatch(/^stopped orders#[0-9a-f]{8}\n$/);
    await until(async () => (await count("orders")) === 0 && (await count("台帳")) === 0);
  });

  test("asks which one when there are several, with exit code 2, and ends none", async () => {
    const portals = [await shop.start("web"), await shop.start("web")];
    const names = portals.map(({ id }) => `web#${id.uuid.slice(0, 8)}`).join(", ");
    expect(await furrow(shop.env, ["stop", "web"])).toEqual({
      exitCode: 2,
      stdout: "",
      stderr: `furrow: 2 actors match "web": name one of ${names}, or pass --all\n`,
    });
    expect(await count("web")).toBe(2);
    const [first, second] = portals;
    expect((await furrow(shop.env, ["stop", `web#${first!.id.uuid.slice(0, 8)}`])).exitCode).toBe(0);
    const { stdout, stderr } = await furrow(shop.env, ["stop", "web", "--all", "--json", "--quiet"]);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, actors: [{ id: { uuid: second!.id.uuid } }] });
  });

  test("fails with 5 when a frozen actor doesn't end in time", async () => {
    const web = await shop.start("web");
    shop.tree.freeze("web");
    const { exitCode, stderr } = await furrow(shop.env, ["stop", "web", "--timeout", "300ms"]);
    expect(exitCode).toBe(5);
    expect(stderr).toContain("web");
    shop.tree.thaw("web");
    await web.cancelActor();
  });
});

describe("furrow drain", () => {
  test("lets a call finish, and ends the actor", async () => {
    const web = await shop.start("web");
    const price = web.run.getPrice("BTC");
    const { exitCode, stderr } = await furrow(shop.env, ["drain", "web"]);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^drained web#/);
    expect(await price).toEqual({ symbol: "BTC", price: 300 });
    expect(await count("web")).toBe(0);
  });

  test("cancels what still runs when the time is up", async () => {
    const web = await shop.start("web");
    const waiting = web.run.waits().then(
      () => "done",
      (error: Error) => error.name,
    );
    expect((await furrow(shop.env, ["drain", "web", "--timeout", "200ms"])).exitCode).toBe(0);
    // it returns only when it's cancelled
    expect(await waiting).toBe("done");
  });
});
