/** The commands that look at a tree: ls, tree, info. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { expectGolden, furrow, inTerminal, linesOf, start, TerminalRun } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

const escape = "\u001b";
let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

describe("furrow ls", () => {
  test("lists the actors, in a pipe without colours or limits of width", async () => {
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["ls"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expectGolden("ls", stdout);
  });

  test("aligns its columns, whatever the width of the names", async () => {
    const { stdout } = await furrow(shop.env, ["ls"]);
    const lines = stdout.trimEnd().split("\n");
    const at = Bun.stringWidth(lines[0]!.slice(0, lines[0]!.indexOf("UUID")));
    for (const line of lines.slice(1)) {
      const uuid = /(?<= )[0-9a-f]{8}(?= )/.exec(line)!;
      expect(Bun.stringWidth(line.slice(0, uuid.index))).toBe(at);
    }
  });

  test("selects names by a pattern", async () => {
    const { stdout } = await furrow(shop.env, ["ls", "?ar*"]);
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(["NAME", "market"]);
  });

  test("shows the titles alone when a pattern matches nothing", async () => {
    const { exitCode, stdout } = await furrow(shop.env, ["ls", "nobody*"]);
    expect([exitCode, stdout.split(/\s+/)[0], stdout.split("\n").length]).toEqual([0, "NAME", 2]);
  });

  test("fails with 4 when nobody has a name, and suggests one", async () => {
    expect(await furrow(shop.env, ["ls", "markt"])).toEqual({
      exitCode: 4,
      stdout: "",
      stderr: 'furrow: no live actor named "markt": did you mean "market"?\n',
    });
  });

  test("prints one document with --json", async () => {
    const { stdout } = await furrow(shop.env, ["ls", "market", "--json"]);
    expectGolden("ls-json", stdout);
  });

  test("sorts by age with --sort up", async () => {
    const { stdout } = await furrow(shop.env, ["ls", "--sort", "up", "--json"]);
    const { actors } = JSON.parse(stdout) as { actors: { id: { name: string } }[] };
    expect(actors.map(({ id }) => id.name)).toEqual(["shop", "market", "orders", "台帳"]);
  });

  test("has bold titles in a terminal", async () => {
    const { exitCode, text } = await inTerminal(shop.env, ["ls"], { cols: 200 });
    expect(exitCode).toBe(0);
    expectGolden("ls-terminal", text);
  });

  test.each([20, 60])("is no wider than a terminal of %d columns", async (cols) => {
    const { text } = await inTerminal(shop.env, ["ls"], { cols });
    for (const line of text.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(cols);
    expect(text).toContain("orders");
  });

  test("has no colours with NO_COLOR or --color never, and has them in a pipe with --color always", async () => {
    expect((await inTerminal({ ...shop.env, NO_COLOR: "1" }, ["ls"])).text).not.toContain(escape);
    expect((await inTerminal(shop.env, ["ls", "--color", "never"])).text).not.toContain(escape);
    expect((await furrow(shop.env, ["ls", "--color", "always"])).stdout).toContain(escape);
    expect((await furrow({ ...shop.env, FORCE_COLOR: "1" }, ["ls"])).stdout).toContain(escape);
  });
});

describe("furrow ls --watch", () => {
  test("draws the table again in its place in a terminal, and ends with 130 on Ctrl-C", async () => {
    await using run = new TerminalRun(shop.env, ["ls", "w*", "--watch"], { cols: 60 });
    await run.shows("NAME");
    const web = await shop.start("web");
    await run.shows("web");
    await web.cancelActor();
    // the last frame has the titles alone: up two lines, the titles, nothing below
    await run.shows(new RegExp(`${escape}\\[2A[^\n]*NAME[^\n]*\n${escape}\\[J`));
    run.type("\x03");
    const { exitCode, text } = await run.outcome();
    expect(exitCode).toBe(130);
    // no full-screen takeover, and no cursor hidden
    expect(text).not.toContain("\u001b[?");
  });

  test("leaves out what exceeds the height of the terminal", async () => {
    await using run = new TerminalRun(shop.env, ["ls", "--watch"], { rows: 4 });
    await run.shows("... and 3 more");
    run.type("\x03");
    expect((await run.outcome()).exitCode).toBe(130);
  });

  test("prints a row for each change in a pipe", async () => {
    const child = start(shop.env, "ls", "w*", "-w");
    const lines = linesOf(child.stdout);
    expect((await lines.next()).value).toStartWith("CHANGE");
    const web = await shop.start("web");
    expect((await lines.next()).value).toMatch(/^up +\S+Z +web /);
    await web.cancelActor();
    expect(await until(lines, /^down +\S+Z +web /)).toBeTrue();
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(await child.stderr.text()).toBe("");
  });

  test("prints JSON lines with --json: the state, then each change", async () => {
    const child = start(shop.env, "ls", "w*", "-w", "--json");
    const lines = linesOf(child.stdout);
    expect(JSON.parse((await lines.next()).value!)).toMatchObject({ schema: 1, type: "sync", actors: [] });
    const web = await shop.start("web");
    const event = JSON.parse((await lines.next()).value!) as object;
    expect(event).toMatchObject({ schema: 1, type: "up", actor: { id: { uuid: web.id.uuid } } });
    await web.cancelActor();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
  });
});

describe("furrow tree", () => {
  test("shows each actor below the one that started it", async () => {
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["tree"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expectGolden("tree", stdout);
  });

  test("shows the part below a name", async () => {
    const { stdout } = await furrow(shop.env, ["tree", "orders"]);
    expectGolden("tree-orders", stdout);
  });

  test("nests the children with --json", async () => {
    const { stdout } = await furrow(shop.env, ["tree", "--json"]);
    const { trees } = JSON.parse(stdout) as { trees: Node[] };
    interface Node {
      id: { name: string };
      children: Node[];
    }
    const names = (node: Node): unknown => [node.id.name, ...node.children.map(names)];
    expect(trees.map(names)).toEqual([["shop", ["market"], ["orders", ["台帳"]]]]);
  });

  test("fails with 4 when nobody has the name", async () => {
    expect((await furrow(shop.env, ["tree", "nobody"])).exitCode).toBe(4);
  });
});

describe("furrow info", () => {
  test("shows all that is known of an actor", async () => {
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["info", "market"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expectGolden("info", stdout);
  });

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

async function until(lines: AsyncGenerator<string, void>, pattern: RegExp): Promise<boolean> {
  for (;;) {
    const { done, value } = await lines.next();
    if (done === true) return false;
    if (pattern.test(value)) return true;
  }
}
