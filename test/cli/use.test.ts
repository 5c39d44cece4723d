/** The commands that use a tree: call, stream, bench, wait. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";

import { furrow, inTerminal, shell, start, TerminalRun } from "../support/command-line.ts";
import { expectGolden } from "../support/golden.ts";
import { Shop } from "../support/shop.ts";
import { until } from "../support/world.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

describe("furrow call", () => {
  test("prints what the function returns, as JSON in one line", async () => {
    expect(await furrow(shop.env, ["call", "market.getPrice", "BTC", '{"depth": 3}'])).toEqual({
      exitCode: 0,
      stdout: '{"symbol":"BTC","price":303}\n',
      stderr: "",
    });
  });

  test("takes its arguments as JSON, and a word that isn't JSON as a string", async () => {
    const words = ["BTC", "5", '"5"', "true", "null", "-2.5", '["a", {"b": 1}]', "{broken", "--", "--flag"];
    const { stdout } = await furrow(shop.env, ["call", "market.echo", ...words]);
    expect(JSON.parse(stdout)).toEqual([
      "BTC",
      5,
      "5",
      true,
      null,
      -2.5,
      ["a", { b: 1 }],
      "{broken",
      "--flag",
    ]);
  });

  test("prints nothing for a function that returns nothing", async () => {
    expect(await furrow(shop.env, ["call", "market.nothing"])).toEqual({
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
    const { stdout } = await furrow(shop.env, ["call", "market.nothing", "--json"]);
    expect(Object.keys((JSON.parse(stdout) as { results: [object] }).results[0])).toEqual(["actor"]);
  });

  test("prints a string without quotes with --raw", async () => {
    expect((await furrow(shop.env, ["call", "market.greet", "Bo"])).stdout).toBe('"hello, Bo"\n');
    expect((await furrow(shop.env, ["call", "market.greet", "Bo", "-r"])).stdout).toBe("hello, Bo\n");
  });

  test("shows values that JSON doesn't have, and lets no escape sequence through", async () => {
    const { stdout } = await furrow(shop.env, ["call", "market.oddities", "--json"]);
    expectGolden("call-oddities", stdout);
  });

  test("spreads a result over lines in a terminal that is too narrow for it", async () => {
    const { text } = await inTerminal(shop.env, ["call", "market.getPrice", "BTC"], { cols: 20 });
    expect(text).toBe('{\n  "symbol": "BTC",\n  "price": 300\n}\n');
  });

  test("reads a last argument from stdin", async () => {
    const { stdout } = await furrow(shop.env, ["call", "market.echo", "1", "--stdin"], '{"from": "stdin"}\n');
    expect(stdout).toBe('[1,{"from":"stdin"}]\n');
  });

  test("calls every instance with --all", async () => {
    const second = await shop.start("market");
    const { exitCode, stdout } = await furrow(shop.env, ["call", "market.whoAmI", "--all"]);
    expect(exitCode).toBe(0);
    expect(stdout.replaceAll(/#[0-9a-f]{8}/g, "")).toBe('market  "market"\nmarket  "market"\n');
    expect(stdout.trimEnd().split("\n")[1]).toStartWith(`market#${second.id.uuid.slice(0, 8)}`);
    const failed = await furrow(shop.env, ["call", "market.fails", "--all", "--json"]);
    expect(failed.exitCode).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({ results: [{ error: {} }, { error: {} }] });
    await second.cancelActor();
  });

  test("reports what the function threw, with exit code 1", async () => {
    const { exitCode, stdout, stderr } = await furrow(shop.env, ["call", "market.fails"]);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^furrow: market#[0-9a-f]{8}: TypeError: no such symbol\n$/);
  });

  test("says which functions there are, and with what to use them", async () => {
    const { exitCode, stderr } = await furrow(shop.env, ["call", "market.nope"]);
    expect(exitCode).toBe(1);
    expectGolden("call-nope", stderr);
  });

  test("fails with 5 when the time is up, and the call is cancelled", async () => {
    const called = furrow(shop.env, ["call", "market.waits", "--timeout", "1s"]);
    await until(async () => (await shop.market.run.waiting()) === 1);
    const { exitCode, stderr } = await called;
    expect(exitCode).toBe(5);
    await until(async () => (await shop.market.run.waiting()) === 0);
    expect(stderr).toMatch(
      /^furrow: market#[0-9a-f]{8} didn't answer waits within 1000 ms: --timeout gives it longer\n$/,
    );
  });

  test("ends with 130 on Ctrl-C, without a word", async () => {
    await using run = new TerminalRun(shop.env, ["stream", "market.pauses"]);
    await run.shows('"first"\n');
    run.type("\x03");
    expect(await run.outcome()).toEqual({ exitCode: 130, text: '"first"\n^C' });
  });
});

describe("furrow stream", () => {
  test("prints each item as a line, to the end of the stream", async () => {
    expect(await furrow(shop.env, ["stream", "market.ticks", "2"])).toEqual({
      exitCode: 0,
      stdout: '{"tick":0}\n{"tick":1}\n',
      stderr: "",
    });
  });

  test("ends after so many items with --limit", async () => {
    const { exitCode, stdout } = await furrow(shop.env, ["stream", "market.ticks", "--limit", "3"]);
    expect([exitCode, stdout.split("\n").length]).toEqual([0, 4]);
  });

  test.each(["head -1", "head -0"])("ends quietly when the reader of its pipe ends: %s", async (reader) => {
    const line = `furrow stream market.ticks | ${reader} >/dev/null; echo "\${PIPESTATUS[0]}"`;
    expect(await shell(shop.env, line)).toEqual({ exitCode: 0, stdout: "0\n", stderr: "" });
  });
});

test("furrow ls ends quietly when nobody reads its output", async () => {
  const outcome = await shell(shop.env, `furrow ls | head -0; echo "\${PIPESTATUS[0]}"`);
  expect(outcome).toEqual({ exitCode: 0, stdout: "0\n", stderr: "" });
});

test.skipIf(!existsSync("/dev/full"))("a disk that is full is an error", async () => {
  const { exitCode, stderr } = await shell(shop.env, "furrow ls >/dev/full");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("ENOSPC");
});

describe("furrow bench", () => {
  test("measures calls of a function", async () => {
    const args = ["bench", "market.getPrice", "BTC", "-c", "4", "-d", "100ms"];
    const { exitCode, stdout, stderr } = await furrow(shop.env, [...args, "--json"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    const [bench] = (JSON.parse(stdout) as { benches: [Record<string, number>] }).benches;
    expect(bench).toMatchObject({ function: "getPrice", concurrency: 4, errors: 0 });
    expect(bench["calls"]).toBeGreaterThan(0);
    expect((await furrow(shop.env, args)).stdout).toMatch(
      /^FUNCTION +CALLS +ERRORS +CALLS\/S +MEAN +P50 +P99 +MAX\nmarket#[0-9a-f]{8}\.getPrice +\d+ +0 /,
    );
  });

  test("fails when the function does", async () => {
    expect((await furrow(shop.env, ["bench", "market.fails", "-d", "1s"])).exitCode).toBe(1);
  });
});

describe("furrow wait", () => {
  test("returns when enough actors are there", async () => {
    const child = start(shop.env, "wait", "web", "--count", "2", "--json");
    const first = await shop.start("web");
    const second = await shop.start("web");
    expect(await child.exited).toBe(0);
    const { actors } = JSON.parse(await child.stdout.text()) as { actors: { id: { uuid: string } }[] };
    expect(actors.map(({ id }) => id.uuid)).toEqual([first.id.uuid, second.id.uuid]);
    await Promise.all([first.cancelActor(), second.cancelActor()]);
  });

  test("returns when all are gone with --gone, without output", async () => {
    const web = await shop.start("web");
    const child = start(shop.env, "wait", "web", "--gone");
    await web.cancelActor();
    expect([await child.exited, await child.stdout.text(), await child.stderr.text()]).toEqual([0, "", ""]);
  });

  test("fails with 5 when the time is up", async () => {
    expect(await furrow(shop.env, ["wait", "market", "--count", "2", "--timeout", "100ms"])).toEqual({
      exitCode: 5,
      stdout: "",
      stderr: 'furrow: "market" isn\'t there 2 times after 100 ms\n',
    });
  });
});
