/** What the doctor says about directories, sockets and secrets, with the real fault in each. */
import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Finding } from "../../../src/cli/doctor/finding.ts";
import { findPermissionFaults } from "../../../src/cli/doctor/permissions.ts";
import { findStaleSockets } from "../../../src/cli/doctor/stale-sockets.ts";
import { World } from "../../support/world.ts";

/** Whether files may be given to other users. */
const isSuperuser = process.getuid?.() === 0;

describe("findStaleSockets", () => {
  test("finds the sockets of killed processes, and not those of live ones; removes none", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const worker = await world.actor("worker");
    const gone = await world.actor("gone");
    expect(findStaleSockets([world.dir])).toEqual([]);
    await hub.freeze(); // it can't remove what the other leaves
    await gone.kill();
    const before = readdirSync(world.dir);
    const stale: Finding = {
      code: "stale-sockets",
      level: "warning",
      what: "a socket file left by dead processes",
      which: `${world.dir}: gone@${gone.pid}.sock`,
      whatToDo: "nothing: the next root that boots or ends there removes them",
    };
    expect(findStaleSockets([world.dir])).toEqual([stale]);
    await Promise.all([hub, worker].map((one) => one.kill()));
    expect(findStaleSockets([world.dir])).toEqual([
      {
        ...stale,
        what: "3 socket files left by dead processes",
        which: `${world.dir}: gone@${gone.pid}.sock, registry@1.sock, worker@${worker.pid}.sock`,
      },
    ]);
    expect(readdirSync(world.dir)).toEqual(before);
    // it says that a root removes them
    await world.actor("next");
    expect(findStaleSockets([world.dir])).toEqual([]);
  });

  test("finds sockets without a lock that no process serves, and lists a few of many", async () => {
    await using world = new World();
    const program = await world.program();
    const paths = Array.from({ length: 7 }, (_, at) => join(world.dir, `other-${at}.sock`));
    await program.run(({ keep, args }) => {
      keep["listeners"] = (args[0] as string[]).map((unix) => Bun.listen({ unix, socket: { data() {} } }));
    }, paths);
    expect(findStaleSockets([world.dir])).toEqual([]);
    await program.kill();
    expect(findStaleSockets([world.dir])).toMatchObject([
      {
        code: "unknown-sockets",
        level: "warning",
        what: "7 socket files without a lock, which no process here serves",
        which: `${world.dir}: other-0.sock, other-1.sock, other-2.sock, other-3.sock, other-4.sock and 2 more`,
      },
    ]);
  });

  test("finds nothing where there is no directory", () => {
    expect(findStaleSockets(["/nowhere"])).toEqual([]);
  });
});

describe("findPermissionFaults", () => {
  const secret = "a secret that is long enough";

  /** A runtime directory of this test, and what is found there. */
  class Place extends World {
    readonly runtime: string = join(this.dir, "runtime");

    constructor() {
      super();
      mkdirSync(this.runtime, { mode: 0o700 });
    }

    find(env: Record<string, string> = {}): Finding[] {
      return findPermissionFaults([], { FURROW_RUNTIME_DIR: this.runtime, ...env });
    }
  }

  test("finds nothing where an actor has made everything, or nothing is there", async () => {
    await using place = new Place();
    expect(place.find({ FURROW_RUNTIME_DIR: join(place.dir, "missing") })).toEqual([]);
    const env = { FURROW_RUNTIME_DIR: place.runtime, FURROW_SECRET: "" };
    const program = await place.actor("hub", {}, env);
    expect(readdirSync(place.runtime)).toContain("secret");
    expect(place.find()).toEqual([]);
    await program.kill();
  });

  test("finds a runtime directory that others may enter, and changes nothing", async () => {
    await using place = new Place();
    chmodSync(place.runtime, 0o755);
    const expected = {
      code: "runtime-dir",
      level: "warning",
      what: "the runtime directory has mode 0755, not 0700",
      which: place.runtime,
      whatToDo: `chmod 700 ${place.runtime}; an actor that boots does it too`,
    } as const;
    expect([place.find(), place.find()]).toEqual([[expected], [expected]]);
  });

  test("finds a runtime directory that can't be used: a link, a file, a relative path", async () => {
    await using place = new Place();
    const whats = (dir: string): string[] =>
      place.find({ FURROW_RUNTIME_DIR: dir }).map(({ level, what }) => `${level}: ${what}`);
    const link = join(place.dir, "link");
    symlinkSync(place.runtime, link);
    expect(whats(link)).toEqual(["error: the runtime directory is a symbolic link"]);
    const file = join(place.dir, "file");
    writeFileSync(file, "");
    expect(whats(file)).toEqual(["error: the runtime directory isn't a directory"]);
    expect(whats("here")).toEqual(["error: the runtime directory isn't an absolute path"]);
  });

  test.skipIf(!isSuperuser)(
    "finds what belongs to another user: the runtime directory, and the secret",
    async () => {
      await using place = new Place();
      const own = join(place.runtime, "secret");
      writeFileSync(own, secret, { mode: 0o600 });
      chownSync(own, 12_345, 12_345);
      expect(place.find()).toMatchObject([
        { code: "secret", level: "error", what: "the secret belongs to uid 12345", which: own },
      ]);
      rmSync(own);
      chownSync(place.runtime, 12_345, 12_345);
      expect(place.find()).toMatchObject([
        { code: "runtime-dir", level: "error", what: "the runtime directory belongs to uid 12345" },
      ]);
    },
  );

  test("finds a directory of the registry's socket in which others may replace it", async () => {
    await using place = new Place();
    const find = (): Finding[] => findPermissionFaults([place.unix], { FURROW_RUNTIME_DIR: place.runtime });
    expect(find()).toEqual([]);
    chmodSync(place.dir, 0o770);
    expect(find()).toEqual([
      {
        code: "runtime-dir",
        level: "warning",
        what: "the directory of the registry's socket has mode 0770: others may replace the socket",
        which: place.dir,
        whatToDo: `chmod go-w ${place.dir}`,
      },
    ]);
    // as /tmp has it
    chmodSync(place.dir, 0o1777);
    expect(find()).toEqual([]);
  });

  test("finds a secret that others may read, that is too short, or that isn't there", async () => {
    await using place = new Place();
    const own = join(place.runtime, "secret");
    writeFileSync(own, secret);
    chmodSync(own, 0o644);
    expect(place.find()).toEqual([
      {
        code: "secret",
        level: "error",
        what: "the secret has mode 0644: others may read it",
        which: own,
        whatToDo: `chmod 600 ${own}, and make a new one if others may have read it`,
      },
    ]);
    const named = join(place.dir, "named");
    const whats = (env: Record<string, string>): string[] => place.find(env).map(({ what }) => what);
    expect(whats({ FURROW_SECRET_FILE: named })).toEqual(["$FURROW_SECRET_FILE doesn't exist"]);
    writeFileSync(named, "15 bytes of it.\n", { mode: 0o600 });
    expect(whats({ FURROW_SECRET_FILE: named })).toEqual(["the secret has 15 B, fewer than 16"]);
    writeFileSync(named, `${secret}\n`);
    // a group may share it
    chmodSync(named, 0o640);
    expect(whats({ FURROW_SECRET_FILE: named })).toEqual([]);
    chmodSync(named, 0o644);
    expect(whats({ FURROW_SECRET_FILE: named })).toEqual([
      "$FURROW_SECRET_FILE has mode 0644: others may read it",
    ]);
    expect(whats({ FURROW_SECRET_FILE: "named" })).toEqual(["$FURROW_SECRET_FILE isn't an absolute path"]);
    expect(whats({ FURROW_SECRET: "short" })).toEqual(["the secret has 5 B, fewer than 16"]);
    rmSync(own);
    mkdirSync(own);
    expect(whats({})).toEqual(["the secret isn't a regular file"]);
  });
});
