/** The runtime directory and the secret: whose they are, and who else may read or write there. */
import { lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";

import { asError } from "../../errors.ts";
import { type Address, parseAddress } from "../../transport/address.ts";
import { runtimeDirPath } from "../../transport/runtime-dir.ts";
import { leastSecretBytes } from "../../transport/secret.ts";
import type { Finding } from "./finding.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Looks at what is there, before anything creates or mends it. */
export function findPermissionFaults(registryAddrs: readonly Address[], env: Environment): Finding[] {
  const dir = runtimeDirPath(env);
  const paths = registryAddrs
    .map(parseAddress)
    .flatMap((one) => (one.transport === "unix" ? [one.path] : []));
  const others = new Set(paths.map((path) => dirname(path)));
  others.delete(dir);
  const faults = runtimeDirFaults(dir);
  const isUsable = faults.every(({ level }) => level === "warning");
  return [
    ...faults,
    ...Array.from(others, socketDirFaults).flat(),
    ...secretFaults(isUsable ? dir : undefined, env),
  ];
}

function runtimeDirFaults(dir: string): Finding[] {
  const fault = (level: Finding["level"], what: string, whatToDo: string): Finding[] => [
    { code: "runtime-dir", level, what, which: dir, whatToDo },
  ];
  const elsewhere = "set FURROW_RUNTIME_DIR to a directory of your own";
  if (!isAbsolute(dir)) return fault("error", "the runtime directory isn't an absolute path", elsewhere);
  const found = seen(lstatSync, dir);
  if (found === undefined) return []; // the first actor creates it
  if (found.isSymbolicLink()) return fault("error", "the runtime directory is a symbolic link", elsewhere);
  if (!found.isDirectory()) return fault("error", "the runtime directory isn't a directory", elsewhere);
  const foreign = foreignOwner(found);
  if (foreign !== undefined) return fault("error", `the runtime directory belongs to ${foreign}`, elsewhere);
  if ((found.mode & 0o700) !== 0o700 || (found.mode & 0o077) !== 0)
    return fault(
      "warning",
      `the runtime directory has mode ${octal(found)}, not 0700`,
      `chmod 700 ${dir}; an actor that boots does it too`,
    );
  return [];
}

/** A registry's socket may be in another directory, which furrow doesn't change. */
function socketDirFaults(dir: string): Finding[] {
  const found = seen(statSync, dir);
  if (found === undefined) return [];
  const foreign = foreignOwner(found);
  const fault = (what: string, whatToDo: string): Finding[] => [
    { code: "runtime-dir", level: "warning", what, which: dir, whatToDo },
  ];
  // like /tmp: only their owners may replace files there
  if ((found.mode & 0o1000) !== 0) return [];
  if (foreign !== undefined && found.uid !== 0)
    return fault(
      `the directory of the registry's socket belongs to ${foreign}, who may replace the socket`,
      "choose a registry address in a directory of your own",
    );
  if ((found.mode & 0o022) === 0) return [];
  return fault(
    `the directory of the registry's socket has mode ${octal(found)}: others may replace the socket`,
    `chmod go-w ${dir}`,
  );
}

/** `dir`: the runtime directory, if it can be used. */
function secretFaults(dir: string | undefined, env: Environment): Finding[] {
  const named = env["FURROW_SECRET_FILE"];
  if (named) return fileFaults(named, "$FURROW_SECRET_FILE", 0o007);
  const text = env["FURROW_SECRET"];
  if (text) return sizeFaults(Buffer.byteLength(text), "$FURROW_SECRET");
  const own = dir === undefined ? undefined : join(dir, "secret");
  // the first actor that needs it makes it
  if (own === undefined || seen(lstatSync, own) === undefined) return [];
  return fileFaults(own, "the secret", 0o077);
}

/** `forbidden`: the bits of its mode that mustn't be set. */
function fileFaults(path: string, name: string, forbidden: number): Finding[] {
  const isOwn = name === "the secret";
  const remove = "remove it, and restart all actors that use tcp: they share a new one";
  const fault = (what: string, whatToDo: string): Finding[] => [
    { code: "secret", level: "error", what: `${name} ${what}`, which: path, whatToDo },
  ];
  if (!isAbsolute(path)) return fault("isn't an absolute path", "name it by its absolute path");
  const found = seen(isOwn ? lstatSync : statSync, path);
  if (found === undefined) return fault("doesn't exist", "create it: openssl rand -hex 32, with mode 0600");
  if (!found.isFile())
    return fault("isn't a regular file", isOwn ? remove : "name a file that has the secret");
  const foreign = isOwn ? foreignOwner(found) : undefined;
  if (foreign !== undefined) return fault(`belongs to ${foreign}`, remove);
  if ((found.mode & forbidden) !== 0)
    return fault(
      `has mode ${octal(found)}: others may read it`,
      `chmod 600 ${path}, and make a new one if others may have read it`,
    );
  try {
    return sizeFaults(Buffer.byteLength(readFileSync(path, "utf8").replace(/\r?\n$/, "")), path);
  } catch (error) {
    return fault(`can't be read: ${asError(error).message}`, "let this user read it");
  }
}

function sizeFaults(bytes: number, which: string): Finding[] {
  if (bytes >= leastSecretBytes) return [];
  const what = `the secret has ${bytes} B, fewer than ${leastSecretBytes}`;
  return [{ code: "secret", level: "error", what, which, whatToDo: "make one with openssl rand -hex 32" }];
}

/** Undefined if there is nothing, or nothing that this user may look at. */
function seen(look: (path: string) => Stats, path: string): Stats | undefined {
  try {
    return look(path);
  } catch {
    return undefined;
  }
}

/** "uid 1000", if that isn't this user. */
function foreignOwner({ uid }: Stats): string | undefined {
  const own = process.getuid?.();
  return own === undefined || uid === own ? undefined : `uid ${uid}`;
}

function octal({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
