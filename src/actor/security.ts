/** The option `security`: how an actor proves its identity, and what it lets others do. */
import { ActorCredentials, type Credentials } from "../channel/credentials.ts";
import { Policy, type PolicyRule } from "../rpc/policy.ts";
import type { SecretOption } from "../transport/secret.ts";
import type { TlsFiles, TlsIdentity } from "../transport/tls.ts";
import type { Drivers } from "../transport/transport.ts";
import { unixTransport } from "../transport/unix.ts";

/** How actors prove their identity to each other, and what peers may do; see `docs/security.md`. */
export interface Security {
  /**
   * The shared secret, at least 16 bytes, or a file that contains it. Over plain tcp, actors prove to each other that
   * they know it. Default: the file named by `$FURROW_SECRET_FILE`, else `$FURROW_SECRET`, else `<runtime dir>/secret`,
   * which is created with mode 0600.
   */
  readonly secret?: SecretOption;
  /** Mutual TLS for all tcp connections, in place of the secret. Required for addresses other than loopback. */
  readonly tls?: TlsFiles;
  /** What peers may do; the first rule that matches decides. */
  readonly policy?: readonly PolicyRule[];
}

/** The parsed option. */
export interface ActorSecurity {
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  readonly policy: Policy;
}

const known: readonly string[] = ["secret", "tls", "policy"] satisfies (keyof Security)[];

/**
 * Reads the option. The secret itself is read on first use.
 *
 * @throws {TypeError} when it is malformed
 * @throws {Error} when a file of `tls` can't be read or used
 */
export function readSecurity(security: Security = {}): ActorSecurity {
  const unknown = Object.keys(security).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new TypeError(`unknown option security.${unknown} (known: ${known.join(", ")})`);
  const policy = new Policy(security.policy);
  // loaded on demand: it imports node:crypto, which most programs don't need
  const tls =
    security.tls &&
    (require("../transport/tls.ts") as typeof import("../transport/tls.ts")).loadTls(security.tls);
  return {
    credentials: new ActorCredentials(security.secret, tls),
    drivers: new LazyDrivers(tls),
    policy,
  };
}

/** Loads tcp on first use: most actors use only unix sockets, and start faster without it (row `spawn`). */
class LazyDrivers implements Drivers {
  readonly unix = unixTransport;
  readonly #tls: TlsIdentity | undefined;
  #tcp: Drivers["tcp"] | undefined;

  constructor(tls: TlsIdentity | undefined) {
    this.#tls = tls;
  }

  get tcp(): Drivers["tcp"] {
    if (this.#tcp === undefined) {
      const { tcpDriver } = require("../transport/tcp.ts") as typeof import("../transport/tcp.ts");
      this.#tcp = this.#tls === undefined ? tcpDriver() : tcpDriver(this.#tls);
    }
    return this.#tcp;
  }
}

/** The option as children inherit it: its paths don't depend on the working directory. Children don't call this. */
export function withAbsolutePaths(security: Security): Security {
  const { secret, tls } = security;
  const { isAbsolute, resolve } = process.getBuiltinModule("node:path");
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(path));
  return {
    ...security,
    ...(typeof secret === "object" && { secret: { file: absolute(secret.file) } }),
    ...(tls && { tls: { cert: absolute(tls.cert), key: absolute(tls.key), ca: absolute(tls.ca) } }),
  };
}
