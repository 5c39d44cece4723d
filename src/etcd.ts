/** A directory for the registrars of many machines, on etcd 3.4 or later. Import it from `furrow/etcd`. */
import { ClusterStore } from "./discovery/cluster-store.ts";
import type { EtcdOptions } from "./etcd/options.ts";

export type { ClusterStore } from "./discovery/cluster-store.ts";
export type { EtcdOptions, EtcdTls } from "./etcd/options.ts";

/**
 * Says where the directory of a cluster is, for the option `cluster` of a root. Every root of every machine gives the same
 * one. Nothing is connected here: only a registrar speaks to etcd.
 *
 * `urls` are those of one or more servers of one etcd, in a list or separated by commas; the port is 2379 unless given.
 * Files of `tls` are read again for each connection, so renewed certificates are used.
 *
 * @throws {TypeError} when a URL or an option is of the wrong form
 * @throws {RangeError} when `ttlMs` isn't in its range
 * @throws {Error} when a file of `tls` can't be read
 */
export function etcd(urls: string | readonly string[], options: EtcdOptions = {}): ClusterStore {
  // the children of a program import this file as well, and never call this
  const { readOptions, readTls } = require("./etcd/options.ts") as typeof import("./etcd/options.ts");
  const { endpoints, space, ttlMs, tls, user } = readOptions(urls, options);
  const description = `etcd at ${endpoints.join(", ")} (space "${space}")`;
  return new ClusterStore(description, ttlMs, async () => {
    const { EtcdStore } = await import("./etcd/store.ts");
    const client = {
      description,
      endpoints,
      readTls: () => (tls === undefined ? undefined : readTls(tls)),
      user,
    };
    return new EtcdStore(client, space);
  });
}
