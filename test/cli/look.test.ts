/** The commands that look at a tree, beyond what `matrix/look.ts` has of them: ls, tree, info. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { furrow, inTerminal, PipeRun, TerminalRun } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

describe("furrow ls", () => {
  test("shows the titles alone when a pattern matches nothing", async () => {
    const { exitCode, stdout } = await furrow(shop.env, ["ls", "nobody*"]);
    expect([exitCode, stdout.split(/\s+/)[0], stdout.split("\n").length]).toEqual([0, "NAME", 2]);
  });

  test("sorts by age with --sort up", async () => {
    const { stdout } = await furrow(shop.env, ["ls", "--sort", "up", "--json"]);
    const { actors } = JSON.parse(stdout) as { actors: { id: { name: string } }[] };
    expect(actors.map(({ id }) => id.name)).toEqual(["shop", "market", "orders", "台帳"]);
  });

  test.each([20, 60])("is no wider than a terminal of %d columns", async (cols) => {
    const { text } = await inTerminal(shop.env, ["ls"], { cols });
    for (const line of text.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(cols);
    expect(text).toContain("orders");
  });
});

describe("furrow ls --all", () => {
  test("shows an actor that was ended in order, and only those of the pattern", async () => {
    const web = await shop.start("web");
    await web.cancelActor();
    await web.closed;
    const { exitCode, stdout } = await furrow(shop.env, ["ls", "-a", "w*"]);
    expect(exitCode).toBe(0);
    const [titles, row, ...more] = stdout.trimEnd().split("\n");
    expect(titles).toEndWith("  END");
    expect(row).toMatch(new RegExp(`^web +${web.id.uuid.slice(0, 8)} .* ended +- +- +\\d+s ago, in order$`));
    expect(more).toEqual([]);
  });

  test("shows the others when a parent doesn't answer, and fails with 5", async () => {
    shop.tree.freeze("orders");
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["ls", "--all", "m*"]);
    shop.tree.thaw("orders");
    expect([exitCode, stdout.includes("market")]).toEqual([5, true]);
    expect(stderr).toContain("orders#");
  });
});

describe("furrow ls --watch", () => {
  test.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("ends on %s with %d", async (signal, code) => {
    await using run = new PipeRun(shop.env, ["ls", "--watch"]);
    await run.shows("orders");
    run.process.kill(signal);
    expect((await run.outcome()).exitCode).toBe(code);
  });

  test("doesn't go together with --all", async () => {
    expect(await furrow(shop.env, ["ls", "-wa"])).toMatchObject({ exitCode: 2, stdout: "" });
  });

  test("leaves out what exceeds the height of the terminal", async () => {
    await using run = new TerminalRun(shop.env, ["ls", "--watch"], { rows: 4 });
    await run.shows("... and 3 more");
    run.type("\x03");
    expect((await run.outcome()).exitCode).toBe(130);
  });
});

describe("furrow info", () => {
  test("finds an actor by the beginning of its uuid, and says when there is no such one", async () => {
    const [actor] = (JSON.parse((await furrow(shop.env, ["info", "orders", "--json"])).stdout) as Document)
      .actors;
    interface Document {
      actors: { id: { uuid: string } }[];
    }
    const short = actor!.id.uuid.slice(0, 6);
    expect((await furrow(shop.env, ["info", `orders#${short}`])).stdout).toStartWith(`orders#${short}`);
    const other = short.startsWith("0") ? "1" : "0";
    expect(await furrow(shop.env, ["info", `orders#${other}`])).toEqual({
      exitCode: 4,
      stdout: "",
      stderr: `furrow: no live actor orders#${other}, but there are others named "orders"\n`,
    });
  });
});
