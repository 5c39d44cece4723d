import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { Deadline } from "../../src/deadline.ts";
import { AddressError, systemCode, TransportClosedError } from "../../src/errors.ts";
import { isAbsent } from "../../src/transport/dial.ts";
import { isLocked, lockPath, SharedLock } from "../../src/transport/flock.ts";
import { maxSocketPathBytes, socketPath } from "../../src/transport/socket-paths.ts";
import { readHolder } from "../../src/transport/socket-lock.ts";
import type { Listener } from "../../src/transport/transport.ts";
import { unixTransport } from "../../src/transport/unix.ts";
import { Program, until } from "../support/world.ts";

const unixFile = join(import.meta.dir, "../../src/transport/unix.ts");
let dir = "";
let worlds = 0;
const programs: Program[] = [];

beforeEach(() => {
  dir = join(process.env["FURROW_RUNTIME_DIR"]!, `unix-${++worlds}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
});

afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.kill()));
  rmSync(dir, { recursive: true, force: true });
});

function listen(path: string): Promise<Listener> {
  return unixTransport.listen({ transport: "unix", path, host: "" }, (link) => link.abort());
}

async function connect(path: string, timeout = 3_000): Promise<void> {
  const deadline = new Deadline({ timeout }, "dial of a test");
  (await unixTransport.connect({ transport: "unix", path, host: "" }, deadline)).abort();
}

/** The error that it fails with, or one that says that it succeeded, as one of two racers does. */
async function failure(failing: Promise<unknown>): Promise<Error> {
  return await failing.then(
    () => new Error("it did not fail"),
    (error: unknown) => error as Error,
  );
}

async function program(): Promise<Program> {
  const started = new Program({});
  programs.push(started);
  await started.up;
  return started;
}

/** Makes another process listen at `path`, with furrow or with Bun alone. */
async function listenElsewhere(path: string, how: "furrow" | "plain"): Promise<Program> {
  const other = await program();
  await other.run(listenThere, path, how === "furrow" ? unixFile : "");
  return other;
}

async function listenThere({
  keep,
  args,
}: {
  keep: Record<string, unknown>;
  args: readonly unknown[];
}): Promise<void> {
  const [path, file] = args as [string, string];
  if (file === "") {
    keep["listener"] = Bun.listen({ unix: path, socket: { data() {} } });
  } else {
    const { unixTransport: unix } = (await import(file)) as { unixTransport: typeof unixTransport };
    keep["listener"] = await unix.listen({ transport: "unix", path, host: "" }, () => {});
  }
}

describe("unixTransport.listen", () => {
  test("creates a socket file private to its user, and removes it and its lock on close", async () => {
    const path = join(dir, "well-known.sock");
    const before = process.umask(0);
    const listener = await listen(path);
    process.umask(before);
    expect((statSync(path).mode & 0o777).toString(8)).toBe("600");
    expect((statSync(`${path}.lock`).mode & 0o777).toString(8)).toBe("600");
    expect(isLocked(`${path}.lock`)).toBe(true);
    listener.close();
    listener.close();
    expect([existsSync(path), existsSync(`${path}.lock`)]).toEqual([false, false]);
  });

  test("serves a fresh path under a lock, too, which names its holder", async () => {
    const path = socketPath(dir, "own", process.pid);
    const holder = { pid: process.pid, name: "own", uuid: "u", root: "r", addrs: [`unix://${path}`] };
    const listener = await unixTransport.listen({ transport: "unix", path, host: "" }, () => {}, holder);
    expect([isLocked(`${path}.lock`), readHolder(`${path}.lock`)]).toEqual([true, holder]);
    listener.close();
    expect([existsSync(path), existsSync(`${path}.lock`)]).toEqual([false, false]);
  });

  test("doesn't pass its lock on to the processes that it starts", async () => {
    const path = join(dir, "parent.sock");
    const other = await listenElsewhere(path, "furrow");
    const pid = await other.run(
      () => Bun.spawn(["sleep", "60"], { stdio: ["ignore", "ignore", "ignore"] }).pid,
    );
    await other.kill();
    expect(isLocked(`${path}.lock`)).toBe(false);
    process.kill(pid, "SIGKILL");
  });

  test("creates missing directories, private to its user", async () => {
    const path = join(dir, "a", "b", "s.sock");
    const listener = await listen(path);
    expect((statSync(dirname(path)).mode & 0o777).toString(8)).toBe("700");
    listener.close();
  });

  test.each(["well-known.sock", `own@${process.pid}.sock`])(
    "never takes %s from another listener in this process",
    async (name) => {
      const path = join(dir, name);
      const first = await listen(path);
      const error = await failure(listen(path));
      expect(error).toBeInstanceOf(AddressError);
      expect(systemCode(error.cause)).toBe("EADDRINUSE");
      await connect(path);
      first.close();
    },
  );

  test("replaces what a killed process left", async () => {
    const path = join(dir, "left.sock");
    for (const how of ["furrow", "plain"] as const) {
      const other = await listenElsewhere(path, how);
      expect(systemCode((await failure(listen(path))).cause)).toBe("EADDRINUSE");
      await other.kill();
      expect(existsSync(path)).toBe(true);
      const listener = await listen(path);
      await connect(path);
      listener.close();
    }
  });

  test("replaces what an earlier process with the same pid left", async () => {
    const path = socketPath(dir, "own", process.pid);
    const other = await listenElsewhere(path, "plain");
    expect(systemCode((await failure(listen(path))).cause)).toBe("EADDRINUSE");
    await other.kill();
    (await listen(path)).close();
  });

  test.each(["furrow", "plain"] as const)(
    "never replaces a %s listener that is stopped and has a full backlog",
    async (how) => {
      const path = join(dir, "busy.sock");
      const other = await listenElsewhere(path, how);
      other.signal("SIGSTOP");
      const filling: Promise<void>[] = [];
      let refused = 0;
      for (let index = 0; index < 560; index++) filling.push(connect(path, 400).catch(() => void refused++));
      await Promise.all(filling);
      expect(refused).toBeGreaterThan(0);
      const error = await failure(listen(path));
      expect(error).toBeInstanceOf(AddressError);
      expect(systemCode(error.cause)).toBe("EADDRINUSE");
      other.signal("SIGCONT");
      await connect(path);
    },
  );

  test.each(["file", "directory", "link"] as const)("never removes a %s at the path", async (what) => {
    const path = join(dir, "precious");
    if (what === "file") writeFileSync(path, "precious");
    else if (what === "directory") mkdirSync(path);
    else {
      writeFileSync(`${path}.target`, "precious");
      symlinkSync(`${path}.target`, path);
    }
    const error = await failure(listen(path));
    expect(error).toBeInstanceOf(AddressError);
    expect(error.message).toContain(path);
    if (what !== "directory") expect(readFileSync(path, "utf8")).toBe("precious");
    expect(existsSync(path)).toBe(true);
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  test("lets exactly one of two processes take a stale path, in every round", async () => {
    const path = join(dir, "wanted.sock");
    const racers = [await program(), await program()];
    for (let round = 0; round < 25; round++) {
      const stale = Bun.listen({ unix: `${path}.${round}`, socket: { data() {} } });
      // a socket file without a listener, as a killed process leaves it
      rmSync(path, { force: true });
      Bun.spawnSync(["ln", `${path}.${round}`, path]);
      stale.stop();
      const results = await Promise.all(
        racers.map((racer) => failure(racer.run(listenThere, path, unixFile))),
      );
      expect(
        results.map(({ message }) => /did not fail|address already in use/.exec(message)?.[0] ?? "").sort(),
      ).toEqual(["address already in use", "did not fail"]);
      await connect(path);
      for (const racer of racers) {
        await racer.run(({ keep }) => {
          (keep["listener"] as Listener | undefined)?.close();
          delete keep["listener"];
        });
      }
      expect(existsSync(path)).toBe(false);
    }
  });

  test("refuses a path that is too long, and one in a directory that it can't write to", async () => {
    const long = join(dir, "x".repeat(120));
    expect((await failure(listen(long))).message).toMatch(
      new RegExp(`^socket path of \\d+ B exceeds the system's ${maxSocketPathBytes} B: `),
    );
    expect((await failure(connect(long))).message).toContain("socket path of");
    writeFileSync(join(dir, "file"), "");
    const below = await failure(listen(join(dir, "file", "s.sock")));
    expect(below).toBeInstanceOf(AddressError);
    if (process.getuid?.() === 0) return; // root may write anywhere
    chmodSync(dir, 0o500);
    expect(await failure(listen(join(dir, "s.sock")))).toBeInstanceOf(AddressError);
    chmodSync(dir, 0o700);
  });

  test("accepts a path of exactly the system's limit", async () => {
    const path = join(dir, "x".repeat(maxSocketPathBytes - dir.length - 1));
    expect(Buffer.byteLength(path)).toBe(maxSocketPathBytes);
    // the lock's path exceeds the limit for sockets, but a lock isn't a socket
    const listener = await listen(path);
    await connect(path);
    listener.close();
  });
});

describe("unixTransport.connect", () => {
  test("calls a missing file, a stale one and one that is not a socket absent", async () => {
    const missing = await failure(connect(join(dir, "none.sock")));
    expect([missing instanceof TransportClosedError, isAbsent(missing)]).toEqual([true, true]);
    const path = join(dir, "stale.sock");
    await (await listenElsewhere(path, "furrow")).kill();
    const stale = await failure(connect(path));
    expect([systemCode(stale.cause), isAbsent(stale)]).toEqual(["ECONNREFUSED", true]);
    writeFileSync(join(dir, "file"), "");
    expect(isAbsent(await failure(connect(join(dir, "file"))))).toBe(true);
  });

  test("doesn't retry on a stale file", async () => {
    for (const name of ["well-known.sock", "registry@1.sock"]) {
      const path = join(dir, name);
      await (await listenElsewhere(path, "furrow")).kill();
      // a busy one is dialled for as long as the deadline allows, which is longer than this test may take
      expect(isAbsent(await failure(connect(path, 60_000)))).toBe(true);
    }
  });

  test("waits for a busy registry, even if a process has its port number as its pid", async () => {
    const path = join(dir, `registry@${process.pid}.sock`);
    const other = await listenElsewhere(path, "furrow");
    other.signal("SIGSTOP");
    const dials = Array.from({ length: 560 }, () => failure(connect(path, 5_000)));
    let done = 0;
    for (const dial of dials) void dial.then(() => done++);
    await until(() => done >= 500);
    other.signal("SIGCONT");
    expect(new Set((await Promise.all(dials)).map(({ message }) => message))).toEqual(
      new Set(["it did not fail"]),
    );
  });
});

describe("the listener", () => {
  test("binds its path again when its socket or its directory was removed", async () => {
    const path = join(dir, "below", "gone.sock");
    const listener = await listen(path);
    expect(await listener.restore()).toBe("here");
    rmSync(path);
    expect(await listener.restore()).toBe("restored");
    await connect(path);
    rmSync(join(dir, "below"), { recursive: true });
    expect(await listener.restore()).toBe("restored");
    await connect(path);
    expect(isLocked(`${path}.lock`)).toBe(true);
    listener.close();
    expect([existsSync(path), existsSync(`${path}.lock`)]).toEqual([false, false]);
  });

  test("yields its path to a listener that has taken it since, and doesn't touch that one", async () => {
    const path = join(dir, "below", "taken.sock");
    const listener = await listen(path);
    rmSync(join(dir, "below"), { recursive: true });
    await listenElsewhere(path, "furrow");
    expect(await listener.restore()).toBe("lost");
    listener.close();
    await connect(path);
    expect(isLocked(`${path}.lock`)).toBe(true);
  });
});

describe("lockPath", () => {
  test("is held until it is released, which removes its file", () => {
    const path = join(dir, "a.lock");
    expect(isLocked(path)).toBe(false);
    const lock = lockPath(path)!;
    expect([lockPath(path), isLocked(path)]).toEqual([undefined, true]);
    lock.release();
    expect([existsSync(path), isLocked(path)]).toEqual([false, false]);
    lockPath(path)!.release();
  });

  test("is released with its process, however that ends", async () => {
    const path = join(dir, "a.lock");
    const other = await program();
    await other.run(
      async ({ keep, args }) => {
        const { lockPath: take } = (await import(args[0] as string)) as { lockPath: typeof lockPath };
        keep["lock"] = take(args[1] as string);
      },
      join(import.meta.dir, "../../src/transport/flock.ts"),
      path,
    );
    expect(isLocked(path)).toBe(true);
    await other.kill();
    expect(isLocked(path)).toBe(false);
    lockPath(path)!.release();
  });

  test("can be acquired while other processes only look at it", async () => {
    const path = join(dir, "a.lock");
    writeFileSync(path, "");
    const looker = await program();
    const looking = looker.run(
      async ({ args }) => {
        const { isLocked: look } = (await import(args[0] as string)) as { isLocked: typeof isLocked };
        const end = performance.now() + 500;
        let looks = 0;
        while (performance.now() < end) if (!look(args[1] as string)) looks++;
        return looks;
      },
      join(import.meta.dir, "../../src/transport/flock.ts"),
      path,
    );
    let denied = 0;
    let taken = 0;
    const end = performance.now() + 400;
    while (performance.now() < end) {
      const lock = lockPath(path);
      if (lock === undefined) denied++;
      else taken++;
      lock?.release();
      writeFileSync(path, "");
      await Bun.sleep(0);
    }
    expect(await looking).toBeGreaterThan(0);
    expect(taken).toBeGreaterThan(0);
    expect(denied).toBe(0);
  });

  test("doesn't write to a file through a link", () => {
    writeFileSync(join(dir, "precious"), "precious");
    symlinkSync(join(dir, "precious"), join(dir, "a.lock"));
    expect(() => lockPath(join(dir, "a.lock"))).toThrow();
    expect(readFileSync(join(dir, "precious"), "utf8")).toBe("precious");
  });
});

describe("SharedLock", () => {
  test("reports whether others share it, and the last to leave removes its file", async () => {
    const path = join(dir, "a.members");
    const mine = SharedLock.join(path);
    expect(mine.hasOthers).toBe(false);
    const other = await program();
    await other.run(
      async ({ keep, args }) => {
        const { SharedLock: Shared } = (await import(args[0] as string)) as { SharedLock: typeof SharedLock };
        keep["share"] = Shared.join(args[1] as string);
      },
      join(import.meta.dir, "../../src/transport/flock.ts"),
      path,
    );
    expect([mine.hasOthers, mine.hasOthers]).toEqual([true, true]);
    await other.run(({ keep }) => (keep["share"] as SharedLock).leave());
    expect([existsSync(path), mine.hasOthers, mine.isCurrent]).toEqual([true, false, true]);
    const second = SharedLock.join(path);
    expect(mine.hasOthers).toBe(true);
    second.leave();
    mine.leave();
    expect(existsSync(path)).toBe(false);
  });
});
