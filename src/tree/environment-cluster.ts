/** The cluster that `$FURROW_CLUSTER` names. Only roots with the variable load this file. */
import { dirname, join } from "node:path";

import type { ClusterStore } from "../discovery/cluster-store.ts";

/** `furrow/etcd`, in a file of its own wherever this is: nothing else of furrow needs it. */
const etcdFile = import.meta.path.endsWith(".ts") ? "../etcd.ts" : "etcd.js";

/**
 * The directory in the etcd with these urls.
 *
 * @throws {TypeError} when one is malformed
 */
export async function clusterAt(urls: string): Promise<ClusterStore> {
  // by a path that bundlers don't follow: a bundle would have all of it, needed or not
  const path = join(dirname(import.meta.path), etcdFile);
  const { etcd } = (await import(path)) as { etcd: (urls: string) => ClusterStore };
  return etcd(urls);
}
