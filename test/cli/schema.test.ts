/** What `--json` prints, against docs/cli.schema.json, where `matrix/` has nothing like it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import schema from "../../docs/cli.schema.json";
import { expectSchema } from "../support/cli-schema.ts";
import { furrow } from "../support/command-line.ts";
import { Shop } from "../support/shop.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(() => shop[Symbol.asyncDispose]());

describe("docs/cli.schema.json", () => {
  test.each([
    ["info", ["info", "shop"]],
    ["call", ["call", "market.oddities"]],
    ["call", ["call", "market.nothing"]],
  ] as const)("describes what furrow %s prints: %j", async (definition, args) => {
    const { stdout } = await furrow(shop.env, [...args, "--json"]);
    expectSchema(definition, stdout);
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
