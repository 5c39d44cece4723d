import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { lockPath, type PathLock, SharedLock } from "../../src/transport/flock.ts";
import {
  removeDeadSocket,
  removeDyingSocket,
  removeTreeSockets,
  sweepSockets,
} from "../../src/transport/dead-sockets.ts";
import { formatHolder, lockFile, readHolder } from "../../src/transport/socket-lock.ts";

let dir = "";
let worlds = 0;
const locks: PathLock[] = [];

beforeEach(() => {
  dir = join(realpathSync(process.env["FURROW_RUNTIME_DIR"]!), `locks-${++worlds}`);
  mkdirSync(dir, { recursive: true });
});

afterEach(() => {
  for (const lock of locks.splice(0)) lock.release();
  rmSync(dir, { recursive: true, force: true });
});

/** A socket file without a listener. */
function staleSocket(path: string): void {
  const listener = Bun.listen({ unix: join(dir, "moved"), socket: { data() {} } });
  renameSync(join(dir, "moved"), path);
  listener.stop(); // removes the file at its own path, and leaves this one
}

/** A socket as a killed process leaves it: with a lock file that isn't locked. */
function deadSocket(name: string): string {
  const path = join(dir, name);
  staleSocket(path);
  writeFileSync(lockFile(path), "");
  return path;
}

function liveSocket(name: string, root = "root"): PathLock {
  const path = join(dir, name);
  staleSocket(path);
  const lock = lockPath(lockFile(path))!;
  lock.write(formatHolder({ pid: 1, name, uuid: name, root, addrs: [] }));
  locks.push(lock);
  return lock;
}

describe("readHolder", () => {
  test("reads what was written, and nothing from files with other content", () => {
    const holder = { pid: 7, name: "a", uuid: "u", root: "r", addrs: ["unix:///x"] };
    const path = join(dir, "a.lock");
    for (const text of [
      "",
      "{",
      "[]",
      "null",
      '{"pid":"7"}',
      '{"pid":7,"name":"a","uuid":"u","root":"r","addrs":[1]}',
    ]) {
      writeFileSync(path, text);
      expect(readHolder(path)).toBeUndefined();
    }
    writeFileSync(path, formatHolder(holder));
    expect(readHolder(path)).toEqual(holder);
    expect(readHolder(join(dir, "none"))).toBeUndefined();
  });
});

describe("removeDeadSocket", () => {
  test("removes a socket whose lock can be acquired, and the lock with it", () => {
    const path = deadSocket("quotes@1.sock");
    expect(removeDeadSocket(path)).toBe("removed");
    expect(readdirSync(dir)).toEqual([]);
    expect(removeDeadSocket(path)).toBe("removed");
  });

  test("leaves a socket whose lock is held, whatever its name", () => {
    liveSocket("quotes@4194304.sock");
    expect(removeDeadSocket(join(dir, "quotes@4194304.sock"))).toBe("held");
    expect(readdirSync(dir)).toHaveLength(2);
  });

  test("leaves a socket without a lock, and anything that isn't a socket", () => {
    staleSocket(join(dir, "foreign@4194304.sock"));
    writeFileSync(join(dir, "notes@4194304.sock"), "precious");
    writeFileSync(join(dir, "notes@4194304.sock.lock"), "");
    symlinkSync(join(dir, "foreign@4194304.sock"), join(dir, "link@4194304.sock"));
    writeFileSync(join(dir, "link@4194304.sock.lock"), "");
    staleSocket(join(dir, "linked@1.sock"));
    symlinkSync(join(dir, "notes@4194304.sock.lock"), join(dir, "linked@1.sock.lock"));
    const before = readdirSync(dir).toSorted();
    for (const name of ["foreign@4194304", "notes@4194304", "link@4194304", "linked@1"])
      expect(removeDeadSocket(join(dir, `${name}.sock`))).toBe("kept");
    expect(readdirSync(dir).toSorted()).toEqual(before);
  });
});

describe("removeDyingSocket", () => {
  test("waits until the lock is released", async () => {
    const path = join(dir, "quotes@1.sock");
    const lock = liveSocket("quotes@1.sock");
    const removing = removeDyingSocket(path);
    expect(existsSync(path)).toBe(true);
    lock.release();
    locks.length = 0;
    writeFileSync(lockFile(path), "");
    expect(await removing).toBe("removed");
    expect(existsSync(path)).toBe(false);
  });
});

describe("removeTreeSockets", () => {
  test("waits only for processes of that tree, except the caller's own", async () => {
    const dying = liveSocket("dying@1.sock", "mine");
    liveSocket("self@1.sock", "mine");
    liveSocket("other@1.sock", "theirs");
    const removing = removeTreeSockets(dir, "mine", "self@1.sock");
    locks.splice(locks.indexOf(dying), 1);
    dying.release();
    writeFileSync(join(dir, "dying@1.sock.lock"), "");
    await removing;
    expect(
      readdirSync(dir)
        .filter((name) => name.endsWith(".sock"))
        .toSorted(),
    ).toEqual(["other@1.sock", "self@1.sock"]);
  });
});

describe("sweepSockets", () => {
  test("removes what dead processes left, and leaves everything else", () => {
    for (const name of ["quotes@1.sock", "0123456789ab@4194304.sock"]) deadSocket(name);
    // left by processes killed before they bound, and by a registry without members
    for (const name of ["early@1.sock.lock", "registry@1617.sock.lock", "registry-0123456789ab.members"])
      writeFileSync(join(dir, name), "");
    const kept = ["notes@1.sock", "other.lock", "other.sock", "registry-notes.members"];
    for (const name of kept) writeFileSync(join(dir, name), "");
    liveSocket("live@4194304.sock");
    const share = SharedLock.join(join(dir, "registry-ba9876543210.members"));
    kept.push("registry-ba9876543210.members");
    deadSocket("registry@1616.sock");
    kept.push("live@4194304.sock", "live@4194304.sock.lock", "registry@1616.sock", "registry@1616.sock.lock");
    expect(sweepSockets(dir).toSorted()).toEqual(["0123456789ab@4194304.sock", "quotes@1.sock"]);
    expect(readdirSync(dir).toSorted()).toEqual(kept.toSorted());
    expect(sweepSockets(dir)).toEqual([]);
    share.leave();
  });
});
