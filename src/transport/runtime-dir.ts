/** The directory of socket files: where it is, and its permissions. `socket-paths.ts` has the names in it. */
import { AddressError, asError, systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { chmodSync, lstatSync, mkdirAllSync, readTextSync } from "./files.ts";
import { loadOs } from "./host.ts";
import { folderOf, pathIn } from "./paths.ts";
import { maxSocketPathBytes } from "./socket-paths.ts";

const log = logger("transport");

/**
 * Returns the runtime directory: `$FURROW_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/furrow`, else `furrow-<uid>` in the
 * system's temporary directory. Creates it with its parents if it is missing, and sets its mode to 0700. Any user can
 * create the last one, so if it is another user's, or a symbolic link, `.furrow` in the home directory is used
 * instead.
 *
 * @throws {AddressError} when it is a link or under one, isn't a directory, belongs to another user, or is too long
 *   for socket paths
 */
export function runtimeDir(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const usual = runtimeDirPath(env);
  if (isChosen(env)) return usable(usual);
  try {
    return usable(usual);
  } catch (error) {
    if (!(error instanceof ForeignDirectoryError)) throw error;
    return instead(error, env["HOME"] ?? loadOs().homedir());
  }
}

/** Where the runtime directory is by rights. Touches nothing, and doesn't say whether it can be used. */
export function runtimeDirPath(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env["FURROW_RUNTIME_DIR"]) return env["FURROW_RUNTIME_DIR"];
  if (env["XDG_RUNTIME_DIR"]) return pathIn(env["XDG_RUNTIME_DIR"], "furrow");
  // macOS has a long path per user here, which leaves no room for file names
  const temporary = process.platform === "darwin" ? "/tmp" : (env["TMPDIR"] ?? loadOs().tmpdir());
  return pathIn(temporary, `furrow-${process.getuid?.() ?? "user"}`);
}

function isChosen(env: Readonly<Record<string, string | undefined>>): boolean {
  return Boolean(env["FURROW_RUNTIME_DIR"] || env["XDG_RUNTIME_DIR"]);
}

/** All of a user's programs fall back to the same place, so they still find each other. */
function instead(taken: ForeignDirectoryError, home: string): string {
  const dir = pathIn(home, ".furrow");
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
  if (!dir.startsWith("/")) throw new AddressError(`runtime directory "${dir}" must be an absolute path`);
  if (Buffer.byteLength(dir) + "/0123456789ab@1234567.sock".length > maxSocketPathBytes) {
    throw new AddressError(
      `runtime directory ${dir} is too long for socket files (at most ${maxSocketPathBytes} B with the name): ` +
        "set FURROW_RUNTIME_DIR to a shorter path",
    );
  }
  return makePrivate(dir);
}

function makePrivate(dir: string): string {
  refuseLinks(dir);
  try {
    mkdirAllSync(dir, 0o700);
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

/**
 * A planted link in the path could redirect the sockets. Links made by the system, like `/tmp` or `/var/run`, are
 * fine.
 */
function refuseLinks(dir: string): void {
  for (let at = dir; at !== "/"; at = folderOf(at)) {
    let link: boolean;
    try {
      link = lstatSync(at).isSymbolicLink();
    } catch {
      continue; // does not exist yet
    }
    const parent = folderOf(at);
    if (link && (at === dir || (parent !== "/" && parent !== "/var"))) {
      throw refusal(dir, at === dir ? "is a symbolic link" : `leads through the symbolic link ${at}`);
    }
  }
}

/** The runtime directory's path is taken by a link, or by something that isn't this user's directory. */
class ForeignDirectoryError extends AddressError {}

function refusal(dir: string, why: string): AddressError {
  return new ForeignDirectoryError(
    `runtime directory ${dir} ${why}: set FURROW_RUNTIME_DIR to a directory of your own`,
  );
}

/** Whether a process with this pid is running; a zombie isn't. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
  if (process.platform !== "linux") return true;
  const [state] = processStat(pid) ?? [];
  return state !== undefined && state !== "Z" && state !== "X";
}

/**
 * What Linux tells about a process, from its state (one letter) on: see proc_pid_stat(5). Undefined if there is no such
 * process, or no /proc.
 */
export function processStat(pid: number): readonly string[] | undefined {
  try {
    const stat = readTextSync(`/proc/${pid}/stat`);
    // "pid (command) state ..."; the command may contain anything, even parentheses
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
