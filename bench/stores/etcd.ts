/** etcd, read through its HTTP interface: it has no official client for JavaScript. */
import { join } from "node:path";

import { freePort, openProgram, type ServerProcess, type Store, untilUp } from "./store.ts";

/** The path of the server, or undefined if it isn't installed. */
export const etcdServer: string | undefined = Bun.which("etcd") ?? undefined;

/** A server of its own, on loopback ports. */
export interface EtcdProcess extends ServerProcess {
  readonly url: string;
}

/** Starts a cluster of one, and waits until it answers. */
export async function startEtcd(program: string, folder: string): Promise<EtcdProcess> {
  const url = `http://127.0.0.1:${freePort()}`;
  const peers = `http://127.0.0.1:${freePort()}`;
  const flags = {
    name: "bench",
    "data-dir": join(folder, "etcd"),
    "log-level": "error",
    "listen-client-urls": url,
    "advertise-client-urls": url,
    "listen-peer-urls": peers,
    "initial-advertise-peer-urls": peers,
    "initial-cluster": `bench=${peers}`,
  };
  const server = openProgram([
    program,
    ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
  ]);
  try {
    await untilUp(() => post(url, "/v3/kv/put", JSON.stringify({ key: btoa("up"), value: btoa("yes") })));
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return { url, pid: server.pid, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function post(url: string, path: string, body: string): Promise<unknown> {
  const answer = await fetch(url + path, { method: "POST", body });
  if (!answer.ok) throw new Error(`etcd answered ${path} with ${answer.status}`);
  return await answer.json();
}

/** Starts one with a name in it. Reads are serializable: the member answers without asking for a quorum. */
export async function openEtcd(program: string, folder: string): Promise<Store> {
  const server = await startEtcd(program, folder);
  const key = btoa("actor-0");
  await post(server.url, "/v3/kv/put", JSON.stringify({ key, value: btoa("tcp://127.0.0.1:1616") }));
  const question = JSON.stringify({ key, serializable: true });
  return {
    get: () => post(server.url, "/v3/kv/range", question),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
