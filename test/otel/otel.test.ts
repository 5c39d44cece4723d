/** Traces, metrics and log records of calls, streams and dialogs, as a collector gets them. */
import { describe, expect, test } from "bun:test";

import { Collector } from "../support/collector.ts";
import { type Program, World } from "../support/world.ts";

const tracing = Bun.fileURLToPath(new URL("../fixtures/tracing.ts", import.meta.url));
const traced = new URL("../fixtures/traced.ts", import.meta.url).href;

/** A program whose actor "shop" has children of these names; each process is traced. */
async function openShop(
  world: World,
  collector: Collector,
  names: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const variables = { ...collector.env, BUN_OPTIONS: `--preload=${tracing}`, ...env };
  const shop = await world.actor("shop", {}, variables);
  await shop.run(
    async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      const portals: Record<string, unknown> = {};
      for (const name of args[0] as string[])
        portals[name] = await nursery.startActor(name, { module: args[1] as string });
      Object.assign(keep, { nursery, portals });
    },
    names,
    traced,
  );
  return shop;
}

/** Calls `portals[name].run[fn](...args)` in the program. */
async function call(program: Program, name: string, fn: string, ...args: unknown[]): Promise<unknown> {
  return await program.run(
    async ({ keep, args: [to, what, given] }) => {
      const portals = keep["portals"] as Record<string, { run: Record<string, (...all: unknown[]) => unknown> }>;
      return await portals[to as string]!.run[what as string]!(...(given as unknown[]));
    },
    name,
    fn,
    args,
  );
}

describe("a trace", () => {
  test("through three actors in three processes is one tree, and its ids are in the JSON logs", async () => {
    await using world = new World();
    await using collector = new Collector();
    const logs = { FURROW_LOG: "rpc=debug", FURROW_LOG_FORMAT: "json" };
    const shop = await openShop(world, collector, ["market", "ledger"], logs);
    expect(await call(shop, "market", "relay", ["ledger"])).toBe("done");
    const spans = await collector.take(4);
    console.log(spans);
    await shop.run(async ({ furrow }) => await furrow.currentActor().cancel());
    shop.process.kill();
    console.log(await shop.stderr);
  });
});
