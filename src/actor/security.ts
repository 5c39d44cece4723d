/** The option `security`: what an actor proves itself with, and what it lets others do. */
import { isAbsolute, resolve } from "node:path";

import { ActorCredentials, type Credentials } from "../channel/credentials.ts";
import { Policy, type PolicyRule } from "../rpc/policy.ts";
import type { SecretOption } from "../transport/secret.ts";
import type { TlsFiles, TlsIdentity } from "../transport/tls.ts";
import type { Drivers } from "../transport/transport.ts";
import { unixTransport } from "../transport/unix.ts";

/** How actors prove to each other who they are; `docs/security.md` has the whole of it. */
export interface Security {
  /**
   * What actors prove to hold over plain tcp, at least 16 bytes, or a file that has it. Default: the file named by
   * `$FURROW_SECRET_FILE`, else `$FURROW_SECRET`, else `<runtime dir>/secret`, which is made with mode 0600.
   */
  readonly secret?: SecretOption;
  /** Mutual TLS for all of tcp: no secret is needed then. An address that isn't loopback needs it. */
  readonly tls?: TlsFiles;
  /** What peers may do; the first rule that matches decides. */
  readonly policy?: readonly PolicyRule[];
}

/** The option, read. */
export interface ActorSecurity {
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  readonly policy: Policy;
}

const known: readonly string[] = ["secret", "tls", "policy"] satisfies (keyof Security)[];

/**
 * Reads the option; the secret is read when it is first needed.
 *
 * @throws {TypeError} when it is malformed
 * @throws {Error} when a file of `tls` can't be read or used
 */
export function readSecurity(security: Security = {}): ActorSecurity {
  const unknown = Object.keys(security).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new TypeError(`unknown option security.${unknown} (known: ${known.join(", ")})`);
  const policy = new Policy(security.policy);
  // it brings in node:crypto, and most programs have no use for it
  const tls =
    security.tls &&
    (require("../transport/tls.ts") as typeof import("../transport/tls.ts")).loadTls(security.tls);
  return {
    credentials: new ActorCredentials(security.secret, tls),
    drivers: new LazyDrivers(tls),
    policy,
  };
}

/** Most actors use unix sockets alone, and start sooner without the files of the others (row `spawn`). */
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

/** As children get it: a working directory of their own changes no path. */
export function withAbsolutePaths(security: Security): Security {
  const { secret, tls } = security;
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(path));
  return {
    ...security,
    ...(typeof secret === "object" && { secret: { file: absolute(secret.file) } }),
    ...(tls && { tls: { cert: absolute(tls.cert), key: absolute(tls.key), ca: absolute(tls.ca) } }),
  };
}
