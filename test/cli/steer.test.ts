/** The commands that need more of an actor than that it's registered: ping, events, logs, restart, replace, doctor. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";

import { furrow, inTerminal, linesOf, PipeRun, start, TerminalRun } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";
import { World } from "../support/world.ts";

const fixtures = join(import.meta.dir, "../fixtures");
let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

describe("furrow ping", () => {
  test("fails with 5 when an actor is frozen, and shows the others", async () => {
    const first = await shop.start("web");
    shop.tree.freeze("web");
    const second = await shop.start("web");
    const { exitCode, stdout } = await furrow(shop.env, ["ping", "web", "--timeout", "300ms", "--json"]);
    expect(exitCode).toBe(5);
    const { pings } = JSON.parse(stdout) as { pings: object[] };
    expect(pings).toMatchObject([
      { actor: { uuid: first.id.uuid }, minMs: null, error: { code: "ERR_TIMEOUT" } },
      { actor: { uuid: second.id.uuid }, sent: 3, lost: 0 },
    ]);
    shop.tree.thaw("web");
    await Promise.all([first.cancelActor(), second.cancelActor()]);
  });
});

describe("furrow restart", () => {
  test("has the nursery start the actor again", async () => {
    const web = await shop.start("web");
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["restart", "web"]);
    expect([exitCode, stdout]).toEqual([0, ""]);
    expect(stderr).toMatch(/^restarted web#[0-9a-f]{8}: it is web#[0-9a-f]{8} now, pid \d+\n$/);
    const { results } = JSON.parse((await furrow(shop.env, ["call", "web.whoAmI", "--json"])).stdout) as {
      results: [{ actor: { uuid: string } }];
    };
    expect(results[0].actor.uuid).not.toBe(web.id.uuid);
    expect(await furrow(shop.env, ["stop", "web"])).toMatchObject({ exitCode: 0 });
  });

  test("fails with 2 for a root, which no nursery started", async () => {
    const { exitCode, stderr } = await furrow(shop.env, ["restart", "shop"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("is a root");
  });
});

describe("furrow replace", () => {
  test("puts another module in the actor's place", async () => {
    await shop.start("web");
    const file = join(fixtures, "versioned.ts");
    const { exitCode, stdout } = await furrow(shop.env, ["replace", "web", file, "--json"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ actors: [{ id: { name: "web" }, before: { name: "web" } }] });
    expect((await furrow(shop.env, ["call", "web.whoAmI"])).stderr).toContain('exports a function "whoAmI"');
    expect((await furrow(shop.env, ["stop", "web", "--all"])).exitCode).toBe(0);
  });

  test("fails with 2 when there is no such file", async () => {
    const { exitCode, stderr } = await furrow(shop.env, ["replace", "market", "./nowhere.ts"]);
    expect([exitCode, stderr]).toEqual([
      2,
      `furrow: there is no file ${join(process.cwd(), "nowhere.ts")}\n`,
    ]);
  });
});

describe("furrow logs", () => {
  test("prints what actors wrote, with their names before it", async () => {
    const web = await shop.start("web", { output: "keep" });
    await web.run.say("one", "two");
    expect(await furrow(shop.env, ["logs", "web"])).toEqual({
      exitCode: 0,
      stdout: "web | one\nweb | two\n",
      stderr: "",
    });
    expect((await furrow(shop.env, ["logs", "w*", "--tail", "1", "--no-prefix"])).stdout).toBe("two\n");
    const { stdout } = await furrow(shop.env, ["logs", `web#${web.id.uuid.slice(0, 8)}`, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, lines: [{ text: "one" }, { text: "two" }] });
    await web.cancelActor();
  });

  test("goes on with --follow, also for actors that come later", async () => {
    await using run = new TerminalRun(shop.env, ["logs", "-f", "v*", "--color", "never"]);
    const first = await shop.start("view", { output: "keep" });
    await first.run.say("first");
    await run.shows("view | first\n");
    const second = await shop.start("vault", { output: "keep" });
    await second.run.say("second");
    await run.shows("vault | second\n");
    run.type("\x03");
    expect((await run.outcome()).exitCode).toBe(130);
    await Promise.all([first.cancelActor(), second.cancelActor()]);
  });

  test("says so when nothing is kept", async () => {
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["logs", "market"]);
    expect([exitCode, stdout, stderr]).toEqual([
      0,
      "",
      'nothing is kept: start actors with output: "keep"\n',
    ]);
  });
});

describe("furrow events", () => {
  test("goes on with --follow: a crash, its reason and the restart", async () => {
    const child = start(shop.env, "events", "-f", "--since", "1h", "--json");
    const lines = linesOf(child.stdout);
    type Shown = { type: string; actor: { name: string }; error?: { message: string } };
    const until = async (isLast: (event: Shown) => boolean): Promise<Shown> => {
      for (;;) {
        const { value } = await lines.next();
        const event = JSON.parse(value!) as Shown;
        if (isLast(event)) return event;
      }
    };
    await until(({ type, actor }) => type === "started" && actor.name === "台帳");
    // a name of its own: what other tests did within the hour is shown, too
    const phoenix = await shop.start("phoenix", { restart: { when: "on-failure", backoffMs: [1, 1] } });
    const isOwn = (type: string) => (event: Shown) => event.type === type && event.actor.name === "phoenix";
    await until(isOwn("started"));
    await phoenix.run.crash();
    const died = await until(isOwn("died"));
    expect(died.error?.message).toContain("exited with code 3");
    await until(isOwn("restarted"));
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(await furrow(shop.env, ["stop", "phoenix"])).toMatchObject({ exitCode: 0 });
  });
});

describe("furrow events --follow", () => {
  test("names the registrar that has taken over", async () => {
    await using world = new World();
    const first = await world.actor("first", { registryAddrs: world.registryAddrs });
    const second = await world.actor("second", { registryAddrs: world.registryAddrs });
    await using run = new PipeRun(world.env, ["events", "-f", "--since", "1h"]);
    await run.shows(/ started .*second/);
    await first.kill();
    await run.shows(new RegExp(` registrar +second#[0-9a-f]{8} \\(pid ${second.pid}\\)\n`));
    run.interrupt();
    expect((await run.outcome()).exitCode).toBe(130);
  });

  test("shows only actors of the pattern", async () => {
    await using run = new PipeRun(shop.env, ["events", "o*", "-f", "--since", "1h"]);
    await run.shows(/ started .*orders/);
    const [other, own] = [await shop.start("web"), await shop.start("outlet")];
    await run.shows(/ started .*outlet/);
    await Promise.all([other.cancelActor(), own.cancelActor()]);
    await run.shows(/ ended .*outlet/);
    run.interrupt();
    expect((await run.outcome()).stdout).not.toMatch(/web|market/);
  });

  test("tells once what happened while it began", async () => {
    const once = await shop.start("once", { restart: { when: "on-failure", backoffMs: [1, 1] } });
    await using run = new PipeRun(shop.env, ["events", "once", "-f", "--since", "1h"]);
    const events = shop.tree.nursery.events();
    await once.run.crash();
    for await (const { type } of events) if (type === "restarted") break;
    await run.shows(/ restarted .*once/);
    run.interrupt();
    const { stdout } = await run.outcome();
    for (const type of ["died", "restarted"]) expect(stdout.split(` ${type} `)).toHaveLength(2);
    expect((await furrow(shop.env, ["stop", "once"])).exitCode).toBe(0);
  });
});

describe("furrow doctor", () => {
  test("shows with a name what a lookup of it does", async () => {
    const { exitCode, stdout } = await furrow(shop.env, ["doctor", "market"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^"market": 1 actor of that name/m);
    expect(stdout).toMatch(/^ {4}unix:\S+ connected \([\d.]+ ms\)$/m);
    const none = await furrow(shop.env, ["doctor", "nobody"]);
    expect([none.exitCode, none.stdout.includes('"nobody": no actors of that name')]).toEqual([1, true]);
  });

  test("says what it found and what to do, with exit code 1", async () => {
    const env = { ...shop.env, FURROW_REGISTRY_ADDRS: `unix://${shop.tree.dir}/nobody@1.sock` };
    const { exitCode, stdout } = await furrow(env, ["doctor", "--json"]);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, findings: [{ code: "no-registrar" }] });
    expect((await inTerminal(env, ["doctor"])).text).toContain("there is no registrar");
  });
});
