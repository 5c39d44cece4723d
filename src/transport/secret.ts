/** The secret that actors prove to each other over plain tcp: where it comes from, and the file that stores it. */
import { asError, systemCode, UnauthenticatedError } from "../errors.ts";
import { lstatIfPresent, nodeFs, readTextSync, removeSync, statSync } from "./files.ts";
import { pathIn } from "./paths.ts";
import { runtimeDir } from "./runtime-dir.ts";

/** Fewer could be found by brute force. */
export const leastSecretBytes = 16;

/** What `security.secret` accepts: the secret itself, or a file that contains it. */
export type SecretOption = string | { readonly file: string };

export interface Secret {
  readonly key: Uint8Array;
  /** Where it came from, for messages: never the secret itself. */
  readonly source: string;
  /**
   * Whether it comes from this user's runtime directory: a peer that knows it is this user, or got it from this user.
   */
  readonly isOwn: boolean;
}

/**
 * Returns the secret: the option, else the file that `$FURROW_SECRET_FILE` names, else `$FURROW_SECRET`, else
 * `<runtime dir>/secret`, which the first actor that needs it creates with mode 0600. A trailing line break isn't
 * part of it.
 *
 * @throws {UnauthenticatedError} when the file can't be read or created, other users can read it, or the secret has
 *   fewer than 16 bytes
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
  return ownSecret(pathIn(runtimeDir(env), "secret"));
}

function secretIn(file: string, named: string): Secret {
  const where = `${file} (${named})`;
  if (!file.startsWith("/"))
    throw new UnauthenticatedError(`${named} must be an absolute path, got "${file}"`);
  try {
    const { mode } = statSync(file);
    if ((mode & 0o007) !== 0) {
      throw new UnauthenticatedError(`every user can read the secret in ${where}: chmod 600 ${file}`);
    }
    return secretOf(readTextSync(file), where, false);
  } catch (error) {
    if (error instanceof UnauthenticatedError) throw error;
    throw new UnauthenticatedError(`cannot read the secret in ${where}: ${asError(error).message}`, {
      cause: error,
    });
  }
}

function secretOf(text: string, source: string, isOwn: boolean): Secret {
  const key = Buffer.from(text.replace(/\r?\n$/, ""), "utf8");
  if (key.length < leastSecretBytes) {
    throw new UnauthenticatedError(
      `the secret of ${source} has ${key.length} B, fewer than ${leastSecretBytes}: make one with openssl rand -hex 32`,
    );
  }
  return { key, source, isOwn };
}

/**
 * The runtime directory is private to this user, so no lock is needed: the file appears complete, and the first one
 * wins.
 */
function ownSecret(file: string): Secret {
  for (;;) {
    const found = lstatIfPresent(file);
    if (found === undefined) {
      makeSecret(file);
    } else if (
      !found.isFile() ||
      (found.mode & 0o077) !== 0 ||
      found.uid !== (process.getuid?.() ?? found.uid)
    ) {
      const what = found.isFile() ? "isn't private to this user" : "isn't a regular file";
      throw new UnauthenticatedError(`the secret file ${file} ${what}: remove it to have a new one made`);
    } else {
      return secretOf(readTextSync(file), file, true);
    }
  }
}

function makeSecret(file: string): void {
  const draft = `${file}.${process.pid}.${crypto.randomUUID()}`;
  const text = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  try {
    const { linkSync, writeFileSync } = nodeFs();
    writeFileSync(draft, `${text}\n`, { mode: 0o600, flag: "wx" });
    linkSync(draft, file);
  } catch (error) {
    // another process was faster
    if (systemCode(error) !== "EEXIST") {
      throw new UnauthenticatedError(`cannot create the secret file ${file}: ${asError(error).message}`, {
        cause: error,
      });
    }
  } finally {
    removeSync(draft);
  }
}
