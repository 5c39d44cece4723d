/** The secret that actors prove to each other over plain tcp: where it comes from, and the file that keeps it. */
import { linkSync, lstatSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";

import { asError, systemCode, UnauthenticatedError } from "../errors.ts";
import { runtimeDir } from "./runtime-dir.ts";

/** Less could be found by trying. */
const leastBytes = 16;

/** What `security.secret` takes: the secret itself, or a file that holds it. */
export type SecretOption = string | { readonly file: string };

export interface Secret {
  readonly key: Uint8Array;
  /** Where it came from, for messages: never the secret itself. */
  readonly source: string;
  /** It lies in this user's runtime directory: whoever knows it is this user, or was told by it. */
  readonly isOwn: boolean;
}

/**
 * The secret: the option, else the file that `$FURROW_SECRET_FILE` names, else `$FURROW_SECRET`, else
 * `<runtime dir>/secret`, which is made by the first who needs it, with mode 0600. A line end at its end is none of it.
 *
 * @throws {UnauthenticatedError} when the file can't be read, other users can read it, or the secret has less than 16 bytes
 */
export function readSecret(
  option: SecretOption | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Secret {
  if (typeof option === "string") return secretOf(option, "the option security.secret", false);
  if (option !== undefined) return secretIn(option.file, "the option security.secret.file");
  const file = env["FURROW_SECRET_FILE"];
  if (file) return secretIn(file, "$FURROW_SECRET_FILE");
  const text = env["FURROW_SECRET"];
  if (text) return secretOf(text, "$FURROW_SECRET", false);
  return ownSecret(join(runtimeDir(env), "secret"));
}

function secretIn(file: string, named: string): Secret {
  const where = `${file} (${named})`;
  if (!isAbsolute(file)) throw new UnauthenticatedError(`${named} must be an absolute path, got "${file}"`);
  try {
    const { mode } = statSync(file);
    if ((mode & 0o007) !== 0) {
      throw new UnauthenticatedError(`every user can read the secret in ${where}: chmod 600 ${file}`);
    }
    return secretOf(readFileSync(file, "utf8"), where, false);
  } catch (error) {
    if (error instanceof UnauthenticatedError) throw error;
    throw new UnauthenticatedError(`cannot read the secret in ${where}: ${asError(error).message}`, {
      cause: error,
    });
  }
}

function secretOf(text: string, source: string, isOwn: boolean): Secret {
  const key = Buffer.from(text.replace(/\r?\n$/, ""), "utf8");
  if (key.length < leastBytes) {
    throw new UnauthenticatedError(
      `the secret of ${source} has ${key.length} B, fewer than ${leastBytes}: make one with openssl rand -hex 32`,
    );
  }
  return { key, source, isOwn };
}

/** The runtime directory is this user's alone, so the file needs no lock: it appears whole, and the first one stays. */
function ownSecret(file: string): Secret {
  for (;;) {
    const found = lstatSync(file, { throwIfNoEntry: false });
    if (found === undefined) {
      makeSecret(file);
    } else if (
      !found.isFile() ||
      (found.mode & 0o077) !== 0 ||
      found.uid !== (process.getuid?.() ?? found.uid)
    ) {
      const what = found.isFile() ? "isn't this user's alone" : "isn't a regular file";
      throw new UnauthenticatedError(`the secret file ${file} ${what}: remove it, and a new one is made`);
    } else {
      return secretOf(readFileSync(file, "utf8"), file, true);
    }
  }
}

function makeSecret(file: string): void {
  const draft = `${file}.${process.pid}.${crypto.randomUUID()}`;
  const text = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  try {
    writeFileSync(draft, `${text}\n`, { mode: 0o600, flag: "wx" });
    linkSync(draft, file);
  } catch (error) {
    // another process was faster
    if (systemCode(error) !== "EEXIST") {
      throw new UnauthenticatedError(`cannot make the secret file ${file}: ${asError(error).message}`, {
        cause: error,
      });
    }
  } finally {
    rmSync(draft, { force: true });
  }
}
