/** etcd, read through its HTTP interface: it has no official client for JavaScript. */
import { join } from "node:path";

import { freePort, openProgram, type Store, untilUp } from "./store.ts";

/** The path of the server, or undefined if it isn't installed. */
export const etcdServer: string | undefined = Bun.which("etcd") ?? undefined;

/** Starts a cluster of one on loopback ports. Reads are serializable: the member answers without asking for a quorum. */
export async function openEtcd(program: string, folder: string): Promise<Store> {
  const clients = `http://127.0.0.1:${freePort()}`;
  const peers = `http://127.0.0.1:${freePort()}`;
  const flags = {
    name: "bench",
    "data-dir": join(folder, "etcd"),
    "log-level": "error",
    "listen-client-urls": clients,
    "advertise-client-urls": clients,
    "listen-peer-urls": peers,
    "initial-advertise-peer-urls": peers,
    "initial-cluster": `bench=${peers}`,
  };
  const server = openProgram([
    program,
    ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
  ]);
  const post = async (path: string, body: string): Promise<unknown> => {
    const answer = await fetch(clients + path, { method: "POST", body });
    if (!answer.ok) throw new Error(`etcd answered ${path} with ${answer.status}`);
    return await answer.json();
  };
  const key = btoa("actor-0");
  const question = JSON.stringify({ key, serializable: true });
  try {
    await untilUp(() => post("/v3/kv/put", JSON.stringify({ key, value: btoa("tcp://127.0.0.1:1616") })));
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return {
    get: () => post("/v3/kv/range", question),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
