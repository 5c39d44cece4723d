/** A directory for the registrars of many machines, on etcd 3.4 or later. Import it from `furrow/etcd`. */
import { ClusterStore } from "./discovery/store-hooks.ts";
import { type EtcdOptions, readOptions, readTls } from "./etcd/options.ts";

export type { ClusterStore } from "./discovery/store-hooks.ts";
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
  const { endpoints, space, ttlMs, tls, user } = readOptions(urls, options);
  const description = `etcd at ${endpoints.join(", ")} (space "${space}")`;
  return new ClusterStore(description, ttlMs, async () => {
    const { EtcdStore } = await import("./etcd/store.ts");
    const read = (): ReturnType<typeof readTls> | undefined => (tls === undefined ? undefined : readTls(tls));
    return new EtcdStore({ description, endpoints, readTls: read, user }, space);
  });
}
