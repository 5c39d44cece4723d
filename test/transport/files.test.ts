/** The C library's calls have to answer like `node:fs`, and fail like it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { systemCode } from "../../src/errors.ts";
import * as files from "../../src/transport/files.ts";
import { fileCalls } from "../../src/transport/libc.ts";

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = files.openFlags;
const isLinux = process.platform === "linux";

let dir = "";
let socket: Bun.UnixSocketListener<undefined>;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "furrow-files-"));
  writeFileSync(join(dir, "file"), "äöü\n");
  linkSync(join(dir, "file"), join(dir, "second"));
  mkdirSync(join(dir, "folder"), { mode: 0o711 });
  symlinkSync("folder", join(dir, "link"));
  socket = Bun.listen({ unix: join(dir, "socket"), socket: { data() {} } });
});

afterEach(() => {
  socket.stop(true);
  rmSync(dir, { recursive: true, force: true });
});

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return systemCode(error);
  }
  return undefined;
}

function shown(status: files.FileStatus): unknown {
  const { mode, nlink, uid, size, ino, dev } = status;
  const kinds = [status.isFile(), status.isDirectory(), status.isSocket(), status.isSymbolicLink()];
  return { mode, nlink, uid, size, ino, dev, kinds };
}

test.if(isLinux)("takes the C library's calls on Linux", () => {
  expect(fileCalls()).toBeDefined();
});

describe("a file's status", () => {
  test.each(["file", "second", "folder", "link", "socket"])("is that of node:fs for a %s", (name) => {
    const path = join(dir, name);
    expect(shown(files.lstatSync(path))).toEqual(shown(lstatSync(path)));
    expect(shown(files.statSync(path))).toEqual(shown(statSync(path)));
  });

  test.if(isLinux).each(["/dev/null", "/proc/self/stat", "/proc", "/"])(
    "is that of node:fs for %s",
    (path) => {
      expect(shown(files.lstatSync(path))).toEqual(shown(lstatSync(path)));
    },
  );

  test("is the same by path and by descriptor", () => {
    const path = join(dir, "file");
    const fd = files.openSync(path, 0);
    try {
      expect(shown(files.fstatSync(fd))).toEqual(shown(lstatSync(path)));
    } finally {
      files.closeSync(fd);
    }
  });

  test("of nothing is an error, or undefined where that was asked for", () => {
    const path = join(dir, "nothing");
    expect(codeOf(() => files.statSync(path))).toBe("ENOENT");
    expect(codeOf(() => files.lstatSync(path))).toBe("ENOENT");
    expect(files.lstatIfPresent(path)).toBeUndefined();
    expect(files.existsSync(path)).toBeFalse();
    expect(files.existsSync(join(dir, "link"))).toBeTrue();
  });
});

describe("an open file", () => {
  test("is created with its mode, and written at an offset", () => {
    const path = join(dir, "new");
    const fd = files.openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    files.writeAtSync(fd, "a longer text", 0);
    files.ftruncateSync(fd, 0);
    files.writeAtSync(fd, "größe", 0);
    files.closeSync(fd);
    expect(readFileSync(path, "utf8")).toBe("größe");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(() => files.closeSync(-1)).toThrow("descriptor -1");
  });

  test.if(isLinux)("isn't inherited by a child process", () => {
    const fd = files.openSync(join(dir, "file"), 0);
    try {
      const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
      expect(Number.parseInt(flags ?? "0", 8) & 0o2_000_000).not.toBe(0);
    } finally {
      files.closeSync(fd);
    }
  });

  test("is never behind a symbolic link that O_NOFOLLOW refuses", () => {
    symlinkSync("file", join(dir, "to-file"));
    expect(codeOf(() => files.openSync(join(dir, "to-file"), O_RDWR | O_NOFOLLOW))).toBe("ELOOP");
  });

  test("that can't be opened is the system's error", () => {
    expect(codeOf(() => files.openSync(join(dir, "nothing"), 0))).toBe("ENOENT");
    expect(codeOf(() => files.openSync(join(dir, "folder"), O_RDWR))).toBe("EISDIR");
  });

  test.if(isLinux)("on a full device fails to be written", () => {
    const fd = files.openSync("/dev/full", O_RDWR);
    try {
      expect(codeOf(() => files.writeAtSync(fd, "text", 0))).toBe("ENOSPC");
    } finally {
      files.closeSync(fd);
    }
  });
});

describe("reading", () => {
  test.each([0, 1, 4_095, 4_096, 4_097, 100_000])("gets all of a file of %d bytes", (length) => {
    const text = "é".repeat(length >> 1) + "x".repeat(length & 1);
    writeFileSync(join(dir, "file"), text);
    expect(files.readTextSync(join(dir, "file"))).toBe(text);
  });

  test("of a missing file or a directory is the system's error", () => {
    expect(codeOf(() => files.readTextSync(join(dir, "nothing")))).toBe("ENOENT");
    expect(codeOf(() => files.readTextSync(dir))).toBe("EISDIR");
  });

  test("follows links as node:fs does", () => {
    expect(files.readlinkSync(join(dir, "link"))).toBe(readlinkSync(join(dir, "link")));
    expect(files.realpathSync(join(dir, "link"))).toBe(realpathSync(join(dir, "link")));
    expect(codeOf(() => files.readlinkSync(join(dir, "file")))).toBe("EINVAL");
    expect(codeOf(() => files.realpathSync(join(dir, "nothing")))).toBe("ENOENT");
  });
});

describe("changing the file system", () => {
  test("makes a directory with its parents, and accepts one that is there", () => {
    const path = join(dir, "a/b/c");
    files.mkdirAllSync(path, 0o700);
    files.mkdirAllSync(path, 0o700);
    files.mkdirAllSync(join(dir, "link"), 0o700);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(codeOf(() => files.mkdirAllSync(join(dir, "file"), 0o700))).toBe("EEXIST");
  });

  test("changes a mode, and removes what is there", () => {
    const path = join(dir, "file");
    files.chmodSync(path, 0o640);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    files.removeSync(path);
    files.removeSync(path);
    expect(readdirSync(dir)).not.toContain("file");
    expect(codeOf(() => files.chmodSync(path, 0o600))).toBe("ENOENT");
  });
});

test("a path with a zero byte is refused, and not cut there", () => {
  const path = `${join(dir, "file")}\0.lock`;
  for (const act of [
    () => files.statSync(path),
    () => files.openSync(path, 0),
    () => files.readTextSync(path),
    () => files.chmodSync(path, 0o777),
    () => files.removeSync(path),
  ])
    expect(act).toThrow("null bytes");
  expect(files.existsSync(path)).toBeFalse();
  expect(statSync(join(dir, "file")).mode & 0o777).not.toBe(0o777);
});
