/** The paths of socket files: the names in their directory, and which directories they may be in. */
import { AddressError } from "../errors.ts";
import { lstatSync, realpathSync } from "./files.ts";
import { pathIn } from "./paths.ts";

/** The longest socket path, in bytes: the kernel's field less its terminating zero. */
export const maxSocketPathBytes: number = process.platform === "darwin" ? 103 : 107;

/** A registry's well-known file is `registry@<port>.sock`: the number is a port, not a pid. */
const registryStem = "registry";

/** The path in `dir` of the socket file of the registry with tcp port `port`. */
export function registrySocketPath(dir: string, port: number): string {
  return pathIn(dir, `${registryStem}@${port}.sock`);
}

/**
 * The path of an actor's socket file in `dir`: `<name>@<pid>.sock`. A name that is long or has unusual characters is
 * replaced by its hash, so the path always stays in `dir`.
 *
 * @throws {AddressError} when even a short name does not fit
 */
export function socketPath(dir: string, name: string, pid: number): string {
  const suffix = `@${pid}.sock`;
  const plain = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,31}$/.test(name) && name !== registryStem;
  const hashed = new Bun.CryptoHasher("sha256").update(name).digest("hex").slice(0, 12);
  for (const stem of plain ? [name, hashed] : [hashed]) {
    const path = pathIn(dir, stem + suffix);
    if (Buffer.byteLength(path) <= maxSocketPathBytes) return path;
  }
  throw new AddressError(
    `directory ${dir} is too long: a socket path may have at most ${maxSocketPathBytes} B; set FURROW_RUNTIME_DIR to a shorter path`,
  );
}

/** The pid in the name of an actor's socket file; undefined for any other path. */
export function socketOwner(path: string): number | undefined {
  const [, stem, pid] = /([^/]*)@(\d{1,10})\.sock$/.exec(path) ?? [];
  return pid === undefined || stem === registryStem ? undefined : Number(pid);
}

/** Whether `dir` is an existing directory of this user, not reached through a link: a place for further sockets. */
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
