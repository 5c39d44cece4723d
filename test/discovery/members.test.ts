/** Who is registered on a host, as the kernel lists it. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { Members } from "../../src/discovery/members.ts";
import { membersFile } from "../../src/discovery/places.ts";
import { World } from "../support/world.ts";

const locks = new URL("../fixtures/locks.ts", import.meta.url).href;
const reads = 400;

describe.skipIf(!existsSync("/proc/locks"))("Members", () => {
  // the kernel hands its list out in pieces of 4 KiB, and leaves one out for each that goes meanwhile
  test("misses none while many locks come and go", async () => {
    await using world = new World();
    const held = Array.from({ length: 150 }, (_, at) => join(world.dir, `held-${at}`));
    const holder = await world.program();
    await holder.run(
      async ({ args: [from, paths] }) => {
        const { hold } = (await import(from as string)) as typeof import("../fixtures/locks.ts");
        hold(paths as string[]);
      },
      locks,
      [membersFile(world.unix), ...held],
    );
    for (let at = 0; at < 3; at++) {
      const churner = await world.program();
      await churner.run(
        async ({ args: [from, dir] }) => {
          const { churn } = (await import(from as string)) as typeof import("../fixtures/locks.ts");
          void churn(dir as string);
        },
        locks,
        world.dir,
      );
    }
    const members = new Members();
    try {
      members.join([world.unix]);
      let missed = 0;
      for (let read = 0; read < reads; read++) {
        if (!members.pids()?.has(holder.pid)) missed++;
        await Bun.sleep(0);
      }
      expect(missed).toBe(0);
    } finally {
      members.leave();
    }
  });
});
