/** What the bench of a large cluster uses of furrow beyond its public interface. */
import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import type { DirectoryStore } from "../../src/discovery/store.ts";
import { etcd } from "../../src/etcd.ts";

export { encodeEntry } from "../../src/discovery/remote-entry.ts";
export type { RemoteChange } from "../../src/discovery/store.ts";
export { StoredRegistration } from "../../src/discovery/table.ts";
export { etcd } from "../../src/etcd.ts";

/** Opens a directory as a registrar does. */
export async function openDirectory(url: string, space: string): Promise<DirectoryStore> {
  return await ClusterStore.open(etcd(url, { space }));
}
