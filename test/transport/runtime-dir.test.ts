import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import { AddressError } from "../../src/errors.ts";
import {
  isOwnDirectory,
  maxSocketPathBytes,
  registrySocketPath,
  socketOwner,
  socketPath,
} from "../../src/transport/socket-paths.ts";
import { isProcessAlive, runtimeDir } from "../../src/transport/runtime-dir.ts";

/** Only root can give a directory to another user. */
const isRoot = process.getuid?.() === 0;
let dir = "";
let worlds = 0;

beforeEach(() => {
  dir = join(realpathSync(process.env["FURROW_RUNTIME_DIR"]!), `dirs-${++worlds}`);
  mkdirSync(dir, { recursive: true });
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** The runtime directory when the environment names `path`. */
function runtimeDirAt(path: string): string {
  return runtimeDir({ FURROW_RUNTIME_DIR: path });
}

/** The pid of a process that has ended. */
function deadPid(): number {
  return Bun.spawnSync(["true"]).pid;
}

describe("runtimeDir", () => {
  test("prefers FURROW_RUNTIME_DIR, then XDG_RUNTIME_DIR/furrow, then the temporary directory", () => {
    const own = join(dir, "own");
    const xdg = join(dir, "xdg");
    expect(runtimeDir({ FURROW_RUNTIME_DIR: own, XDG_RUNTIME_DIR: xdg })).toBe(own);
    expect(runtimeDir({ XDG_RUNTIME_DIR: xdg })).toBe(join(xdg, "furrow"));
    const existed = existsSync(join(tmpdir(), `furrow-${process.getuid!()}`));
    const last = runtimeDir({});
    expect(last).toBe(join(tmpdir(), `furrow-${process.getuid!()}`));
    if (!existed) rmSync(last, { recursive: true });
  });

  test("creates it with its parents, private to its user", () => {
    const before = process.umask(0);
    const made = runtimeDirAt(join(dir, "a", "b"));
    process.umask(before);
    expect([modeOf(made), modeOf(dirname(made))]).toEqual(["700", "700"]);
  });

  test.each([0o755, 0o777, 0o500])("forces its own directory of mode %o to 700", (mode) => {
    const path = join(dir, "open");
    mkdirSync(path);
    chmodSync(path, mode);
    expect(modeOf(runtimeDirAt(path))).toBe("700");
  });

  test("refuses a symbolic link, and leaves its target alone", () => {
    const target = join(dir, "target");
    mkdirSync(target, { mode: 0o755 });
    chmodSync(target, 0o755);
    symlinkSync(target, join(dir, "link"));
    expect(() => runtimeDirAt(join(dir, "link"))).toThrow(AddressError);
    expect(() => runtimeDirAt(join(dir, "link"))).toThrow("is a symbolic link");
    expect([modeOf(target), readdirSync(target)]).toEqual(["755", []]);
    symlinkSync(join(dir, "nowhere"), join(dir, "dangling"));
    expect(() => runtimeDirAt(join(dir, "dangling"))).toThrow("is a symbolic link");
    expect(existsSync(join(dir, "nowhere"))).toBe(false);
  });

  test("refuses a path through a symbolic link, and creates nothing beyond it", () => {
    const target = join(dir, "target");
    mkdirSync(target);
    symlinkSync(target, join(dir, "link"));
    expect(() => runtimeDirAt(join(dir, "link", "furrow"))).toThrow(
      `leads through the symbolic link ${join(dir, "link")}`,
    );
    expect(readdirSync(target)).toEqual([]);
  });

  test("refuses a regular file, and a path through one", () => {
    const file = join(dir, "file");
    writeFileSync(file, "text");
    expect(() => runtimeDirAt(file)).toThrow(AddressError);
    expect(() => runtimeDirAt(file)).toThrow("is not a directory");
    expect(() => runtimeDirAt(join(file, "below"))).toThrow(AddressError);
  });

  test.skipIf(!isRoot)("refuses another user's directory, and doesn't change it", () => {
    const path = join(dir, "theirs");
    mkdirSync(path);
    chmodSync(path, 0o755);
    chownSync(path, 12_345, 12_345);
    expect(() => runtimeDirAt(path)).toThrow(AddressError);
    expect(() => runtimeDirAt(path)).toThrow("belongs to uid 12345, not to 0");
    expect([modeOf(path), lstatSync(path).uid]).toEqual(["755", 12_345]);
  });

  test.skipIf(!isRoot)("falls back to the home directory when another user owns the usual one", () => {
    const env = { TMPDIR: join(dir, "tmp"), HOME: join(dir, "home") };
    const usual = join(env.TMPDIR, "furrow-0");
    mkdirSync(env.TMPDIR);
    expect(runtimeDir(env)).toBe(usual);
    rmSync(usual, { recursive: true });
    mkdirSync(usual);
    chownSync(usual, 12_345, 12_345);
    expect(runtimeDir(env)).toBe(join(env.HOME, ".furrow"));
    expect(modeOf(join(env.HOME, ".furrow"))).toBe("700");
    expect(lstatSync(usual).uid).toBe(12_345);
    rmSync(usual, { recursive: true });
    symlinkSync(env.HOME, usual);
    expect(runtimeDir(env)).toBe(join(env.HOME, ".furrow"));
    // and says what to do if that can't be used either
    const nowhere = { ...env, HOME: join(dir, "file") };
    writeFileSync(nowhere.HOME, "");
    expect(() => runtimeDir(nowhere)).toThrow("set FURROW_RUNTIME_DIR to a directory of your own");
  });

  test("refuses a relative path, and one that leaves no room for file names", () => {
    expect(() => runtimeDirAt("relative/path")).toThrow("must be an absolute path");
    const long = join(dir, "x".repeat(90));
    expect(() => runtimeDirAt(long)).toThrow(AddressError);
    expect(() => runtimeDirAt(long)).toThrow("is too long for socket files");
    expect(existsSync(long)).toBe(false);
  });

  test("says what to do in each refusal", () => {
    writeFileSync(join(dir, "file"), "");
    for (const path of [join(dir, "file"), join(dir, "x".repeat(90))]) {
      expect(() => runtimeDirAt(path)).toThrow("set FURROW_RUNTIME_DIR to");
    }
  });
});

describe("socketPath", () => {
  test.each(["quotes", "a", "Quotes-2_x.y", "x".repeat(32)])("keeps the short safe name %s", (name) => {
    expect(socketPath("/run/furrow", name, 42)).toBe(`/run/furrow/${name}@42.sock`);
  });

  test.each([
    "x".repeat(33),
    "ünïcode",
    "日本語",
    "with space",
    "../up",
    "/etc/passwd",
    "..",
    ".hidden",
    "a@1",
    "nul\0",
    "registry",
    "",
  ])("replaces %j by a hash that is the same each time", (name) => {
    const path = socketPath("/run/furrow", name, 42);
    expect(path).toMatch(/^\/run\/furrow\/[0-9a-f]{12}@42\.sock$/);
    expect(socketPath("/run/furrow", name, 42)).toBe(path);
  });

  test("gives different names different paths", () => {
    const names = Array.from({ length: 1_000 }, (_, index) => `a name ${index}`);
    expect(new Set(names.map((name) => socketPath("/run", name, 1))).size).toBe(1_000);
  });

  test("hashes a name that is too long, and refuses a directory in which no name fits", () => {
    const roomy = `/${"d".repeat(maxSocketPathBytes - 30)}`;
    expect(basename(socketPath(roomy, "x".repeat(32), 1_234))).toMatch(/^[0-9a-f]{12}@1234\.sock$/);
    const tight = `/${"d".repeat(maxSocketPathBytes - 10)}`;
    expect(() => socketPath(tight, "a-long-name", 1_234)).toThrow(AddressError);
    expect(() => socketPath(tight, "a-long-name", 1_234)).toThrow("is too long: a socket path may have");
  });
});

describe("socketOwner", () => {
  test.each<[path: string, pid: number | undefined]>([
    ["/run/quotes@42.sock", 42],
    ["/run/a@b@7.sock", 7],
    ["quotes@42.sock", 42],
    ["/run/registry@1616.sock", undefined],
    ["/run/quotes.sock", undefined],
    ["/run/quotes@.sock", undefined],
    ["/run/quotes@42.sock.lock", undefined],
    ["/run/dir@42.sock/file", undefined],
  ])("reads %s as %p", (path, pid) => {
    expect(socketOwner(path)).toBe(pid);
  });

  test("finds no owner in a registry's path", () => {
    expect(socketOwner(registrySocketPath("/run", process.pid))).toBeUndefined();
  });
});

describe("isProcessAlive", () => {
  test("is true of this process and its parent, and false of one that has ended", () => {
    expect([isProcessAlive(process.pid), isProcessAlive(process.ppid), isProcessAlive(1)]).toEqual([
      true,
      true,
      true,
    ]);
    expect(isProcessAlive(deadPid())).toBe(false);
  });
});

describe("isOwnDirectory", () => {
  test("accepts a directory of this user, but no link, file or missing path", () => {
    writeFileSync(join(dir, "file"), "");
    symlinkSync(dir, join(dir, "link"));
    const found = [dir, join(dir, "link"), join(dir, "file"), join(dir, "none")].map(isOwnDirectory);
    expect(found).toEqual([true, false, false, false]);
  });
});
