/** Which processes are registered on a host, as the kernel lists them. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { rosterFile } from "../../src/discovery/registry-files.ts";
import { Roster } from "../../src/discovery/roster.ts";
import { Program, until, World } from "../support/world.ts";

const locks = new URL("../fixtures/locks.ts", import.meta.url).href;
const reads = 400;
const source = join(import.meta.dir, "../../src/discovery/");

/** Mounts two file systems that no other process sees, and goes on in there. */
const mounts = [
  "unshare",
  "-m",
  "sh",
  "-c",
  'mount -t tmpfs a "$0" && mount -t tmpfs b "$1" && shift && exec "$@"',
];
const canMount =
  process.platform === "linux" &&
  Bun.spawnSync([...mounts, "/mnt", "/mnt", "true"], { stderr: "ignore" }).exitCode === 0;
if (!canMount)
  console.warn("roster.test.ts: a test with two file systems is skipped: unshare is not permitted here");

describe.skipIf(!existsSync("/proc/locks"))("Roster", () => {
  // the kernel returns its list in pieces of 4 KiB, and skips a lock for each one that goes meanwhile
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
      [rosterFile(world.unix), ...held],
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
    const roster = new Roster();
    try {
      roster.join([world.unix]);
      let missed = 0;
      for (let read = 0; read < reads; read++) {
        if (!roster.pids()?.has(holder.pid)) missed++;
        await Bun.sleep(0);
      }
      expect(missed).toBe(0);
    } finally {
      roster.leave();
    }
  });

  test("gives a list up that other programs have made too long to read", async () => {
    await using world = new World();
    const roster = new Roster();
    try {
      roster.join([world.unix]);
      expect(roster.pids()).toEqual(new Set());
      for (let at = 0; at < 4; at++) {
        const hog = await world.program();
        await hog.run(
          async ({ args: [from, path] }) => {
            const { hold } = (await import(from as string)) as typeof import("../fixtures/locks.ts");
            hold(Array<string>(900).fill(path as string));
          },
          locks,
          join(world.dir, `hog-${at}`),
        );
      }
      expect(readFileSync("/proc/locks").length).toBeGreaterThan(131_072);
      expect(roster.pids()).toBeUndefined();
    } finally {
      roster.leave();
    }
  });

  test.skipIf(!canMount)(
    "takes nobody for a member who holds a file of the same inode on another file system",
    async () => {
      await using world = new World();
      const dirs = ["a", "b"].map((name) => join(world.dir, name));
      for (const dir of dirs) mkdirSync(dir);
      await using program = Object.assign(new Program(world.env, [...mounts, ...dirs]), {
        [Symbol.asyncDispose]: () => program.kill(),
      });
      await program.up;
      const found = await program.run(
        async ({ args }) => {
          const [from, a, b] = args as [string, string, string];
          const fs = await import("node:fs");
          const { Roster: In } = (await import(
            `${from}roster.ts`
          )) as typeof import("../../src/discovery/roster.ts");
          const files = (await import(
            `${from}registry-files.ts`
          )) as typeof import("../../src/discovery/registry-files.ts");
          const addr = `unix://${a}/registry@1.sock` as const;
          const mine = new In();
          mine.join([addr]);
          const { ino } = fs.statSync(files.rosterFile(addr));
          let path = "";
          for (let at = 0; at < 1_000 && (path === "" || fs.statSync(path).ino < ino); at++)
            fs.writeFileSync((path = `${b}/${at}`), "");
          const isSame = fs.statSync(path).ino === ino;
          // its taker's pid is listed, so it must be the holder that takes it
          const script = `require("${from}../transport/flock.ts").SharedLock.join(process.env.LOCK); console.log(1); setInterval(() => {}, 1e6)`;
          const hold = (file: string): Bun.Subprocess<"ignore", "pipe"> =>
            Bun.spawn([process.execPath, "-e", script], {
              env: { ...process.env, LOCK: file },
              stdout: "pipe",
            });
          const [other, member] = [hold(path), hold(files.rosterFile(addr))];
          for (const { stdout } of [other, member]) await stdout.getReader().read();
          const pids = mine.pids();
          const result = [isSame, pids?.has(other.pid), pids?.has(member.pid)];
          for (const one of [other, member]) one.kill();
          await Promise.all([other.exited, member.exited]);
          mine.leave();
          return result;
        },
        source,
        ...dirs,
      );
      expect(found).toEqual([true, false, true]);
    },
  );

  test("lists those, too, who have their share in a file that was removed since", async () => {
    await using world = new World();
    const other = await world.program();
    const roster = new Roster();
    try {
      roster.join([world.unix]);
      await other.run(
        async ({ args: [from, path] }) => {
          const { hold } = (await import(from as string)) as typeof import("../fixtures/locks.ts");
          hold([path as string]);
        },
        locks,
        rosterFile(world.unix),
      );
      rmSync(rosterFile(world.unix));
      expect(roster.join([world.unix])).toBeFalse();
      expect(roster.others()).toMatchObject({ kind: "pids", pids: new Set([other.pid]) });
      await other.kill();
      expect([roster.join([world.unix]), roster.others()]).toEqual([true, { kind: "none" }]);
    } finally {
      roster.leave();
    }
  });

  test("knows an actor again as soon as that has lost its registrar, though the list was removed", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const root = await world.actor("root");
    const child = await root.run(
      async ({ furrow, args: [module] }) => {
        const nursery = await furrow.openNursery();
        return (await nursery.startActor("child", { module: module as string })).id.pid;
      },
      new URL("../fixtures/service.ts", import.meta.url).href,
    );
    rmSync(rosterFile(world.unix));
    // so that there is no other registrar to register with
    await root.freeze();
    await hub.kill();
    const roster = new Roster();
    try {
      roster.join([world.unix]);
      await until(() => roster.pids()?.has(child) === true);
    } finally {
      roster.leave();
    }
  });
});
