/** The directory of socket files: found, made private, and named in. */
import { chmodSync, lstatSync, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, parse, sep } from "node:path";

import { AddressError, asError, systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { loadOs } from "./host.ts";

const log = logger("transport");

/** Bytes that a socket path may have: the kernel's field less its end mark. */
export const maxSocketPathBytes: number = process.platform === "darwin" ? 103 : 107;

/** The well-known file of a registry is `registry@<port>.sock`; the number is no pid. */
const registryStem = "registry";

/** The registry's socket file in `dir` that goes with tcp port `port`. */
export function registrySocketPath(dir: string, port: number): string {
  return join(dir, `${registryStem}@${port}.sock`);
}

/**
 * The runtime directory: `$FURROW_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/furrow`, else `furrow-<uid>` under the system's
 * temporary directory. Created with its parents when it is missing, and made 0700. Every user may create the last one, so
 * where another user, or a link, has that place, it is `.furrow` in the home directory.
 *
 * @throws {AddressError} when it is a link or under one, not a directory, another user's, or too long for a socket
 */
export function runtimeDir(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env["FURROW_RUNTIME_DIR"]) return usable(env["FURROW_RUNTIME_DIR"]);
  if (env["XDG_RUNTIME_DIR"]) return usable(join(env["XDG_RUNTIME_DIR"], "furrow"));
  // macOS has a long path per user here, which leaves no room for names
  const temporary = process.platform === "darwin" ? "/tmp" : (env["TMPDIR"] ?? loadOs().tmpdir());
  const usual = join(temporary, `furrow-${process.getuid?.() ?? "user"}`);
  try {
    return usable(usual);
  } catch (error) {
    if (!(error instanceof ForeignDirectoryError)) throw error;
    return instead(error, env["HOME"] ?? loadOs().homedir());
  }
}

/** All programs of a user come here as long as the usual place is taken: they find each other as before. */
function instead(taken: ForeignDirectoryError, home: string): string {
  const dir = join(home, ".furrow");
  try {
    const own = usable(dir);
    log.info?.(`${taken.message}; using ${own}`);
    return own;
  } catch (error) {
    log.warn?.(asError(error).message);
    throw taken;
  }
}

function usable(dir: string): string {
  if (!isAbsolute(dir)) throw new AddressError(`runtime directory "${dir}" must be an absolute path`);
  if (Buffer.byteLength(dir) + "/0123456789ab@1234567.sock".length > maxSocketPathBytes) {
    throw new AddressError(
      `runtime directory ${dir} is too long for socket files (${maxSocketPathBytes} B with the name): ` +
        "set FURROW_RUNTIME_DIR to a shorter one",
    );
  }
  return makePrivate(dir);
}

function makePrivate(dir: string): string {
  refuseLinks(dir);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (systemCode(error) !== "EEXIST") {
      throw new AddressError(`runtime directory ${dir} cannot be created: ${asError(error).message}`, {
        cause: error,
      });
    }
  }
  const found = lstatSync(dir);
  if (found.isSymbolicLink()) throw refusal(dir, "is a symbolic link");
  if (!found.isDirectory()) throw refusal(dir, "is not a directory");
  const uid = process.getuid?.();
  if (uid !== undefined && found.uid !== uid)
    throw refusal(dir, `belongs to uid ${found.uid}, not to ${uid}`);
  if ((found.mode & 0o777) !== 0o700) chmodSync(dir, 0o700);
  return dir;
}

/** A link that somebody put on the way could lead the sockets elsewhere; those of the system itself may stay. */
function refuseLinks(dir: string): void {
  for (let at = dir; at !== parse(at).root; at = dirname(at)) {
    let link: boolean;
    try {
      link = lstatSync(at).isSymbolicLink();
    } catch {
      continue; // does not exist yet
    }
    const parent = dirname(at);
    if (link && (at === dir || (parent !== parse(at).root && parent !== `${sep}var`))) {
      throw refusal(dir, at === dir ? "is a symbolic link" : `leads through the symbolic link ${at}`);
    }
  }
}

/** The place of the runtime directory is taken by what isn't this user's. */
class ForeignDirectoryError extends AddressError {}

function refusal(dir: string, why: string): AddressError {
  return new ForeignDirectoryError(
    `runtime directory ${dir} ${why}: set FURROW_RUNTIME_DIR to a directory of your own`,
  );
}

/**
 * The path of an actor's socket file in `dir`: `<name>@<pid>.sock`. A name that is long or not made of plain letters is
 * replaced by a hash of it, so the path never leaves `dir`.
 *
 * @throws {AddressError} when even a short name does not fit
 */
export function socketPath(dir: string, name: string, pid: number): string {
  const suffix = `@${pid}.sock`;
  const plain = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,31}$/.test(name) && name !== registryStem;
  const hashed = new Bun.CryptoHasher("sha256").update(name).digest("hex").slice(0, 12);
  for (const stem of plain ? [name, hashed] : [hashed]) {
    const path = join(dir, stem + suffix);
    if (Buffer.byteLength(path) <= maxSocketPathBytes) return path;
  }
  throw new AddressError(
    `directory ${dir} is too long: a socket path may have ${maxSocketPathBytes} B; set FURROW_RUNTIME_DIR to a shorter one`,
  );
}

/** The pid that an actor's socket file is named after, or undefined for any other path. */
export function socketOwner(path: string): number | undefined {
  const [, stem, pid] = /([^/]*)@(\d{1,10})\.sock$/.exec(path) ?? [];
  return pid === undefined || stem === registryStem ? undefined : Number(pid);
}

/** Whether a process of that id runs. One that has ended and waits to be reaped does not. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
  if (process.platform !== "linux") return true;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // "pid (command) state ...", and the command may hold anything
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(")") + 1));
  } catch {
    return false;
  }
}

/** Whether `dir` exists, is a directory and is this user's own: a place for further sockets. */
export function isOwnDirectory(dir: string): boolean {
  try {
    const found = lstatSync(dir);
    return (
      found.isDirectory() && found.uid === (process.getuid?.() ?? found.uid) && realpathSync(dir) === dir
    );
  } catch {
    return false;
  }
}
