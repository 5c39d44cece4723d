/** What `--json` prints, against docs/cli.schema.json. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import schema from "../../docs/cli.schema.json";
import { expectSchema } from "../support/cli-schema.ts";
import { furrow, linesOf, start } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

describe("docs/cli.schema.json", () => {
  test.each([
    ["ls", ["ls"]],
    ["tree", ["tree"]],
    ["info", ["info", "market"]],
    ["info", ["info", "shop"]],
    ["top", ["top", "--once", "-n", "100ms"]],
    ["events", ["events"]],
    ["ping", ["ping", "market"]],
    ["doctor", ["doctor"]],
    ["doctor", ["doctor", "market"]],
    ["call", ["call", "market.oddities"]],
    ["call", ["call", "market.nothing"]],
    ["call", ["call", "market.fails", "--all"]],
    ["bench", ["bench", "market.getPrice", "BTC", "-d", "50ms"]],
    ["wait", ["wait", "market"]],
    ["logs", ["logs"]],
  ] as const)("describes what furrow %s prints: %j", async (definition, args) => {
    const { stdout } = await furrow(shop.env, [...args, "--json"]);
    expectSchema(definition, stdout);
  });

  test("describes what the commands print that change something", async () => {
    const web = await shop.start("web", { output: "keep" });
    await web.run.say("something");
    expectSchema("logs", (await furrow(shop.env, ["logs", "web", "--json"])).stdout);
    expectSchema("restart", (await furrow(shop.env, ["restart", "web", "--json"])).stdout);
    expectSchema("stop", (await furrow(shop.env, ["stop", "web", "--json"])).stdout);
  });

  test.each([
    ["ls-watch", ["ls", "-w"]],
    ["top-line", ["top", "-n", "100ms"]],
    ["events-line", ["events", "-f", "--since", "1h"]],
  ] as const)("describes the lines of %s", async (definition, args) => {
    const child = start(shop.env, ...args, "--json");
    const lines = linesOf(child.stdout);
    expectSchema(definition, (await lines.next()).value!);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("has a definition for each document in its list", () => {
    for (const { $ref } of schema.anyOf) expect(schema.$defs).toHaveProperty([$ref.replace("#/$defs/", "")]);
  });
});

test("expectSchema sees what isn't in the schema", () => {
  const actor = { name: "a", uuid: "u", pid: 1, host: "h" };
  expectSchema("actorId", JSON.stringify(actor));
  for (const wrong of [{ ...actor, pid: "1" }, { ...actor, more: 1 }, { name: "a" }])
    expect(() => expectSchema("actorId", JSON.stringify(wrong))).toThrow();
});
