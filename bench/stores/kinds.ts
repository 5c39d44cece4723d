/** The stores that a lookup is compared with. */
import type { Transport } from "../../src/index.ts";
import { etcdServer, openEtcd } from "./etcd.ts";
import { natsServer, openNats } from "./nats.ts";
import { openRedis, redisServer } from "./redis.ts";
import type { Store } from "./store.ts";

export interface StoreKind {
  readonly name: string;
  /** How the store is reached; the lookup uses the same transport. */
  readonly transport: Transport;
  /** The path of the server, or undefined if it isn't installed. */
  readonly program: string | undefined;
  readonly programName: string;
  readonly baseline: string;
  readonly open: (program: string, folder: string) => Promise<Store>;
}

export const storeKinds: readonly StoreKind[] = [
  {
    name: "redis",
    transport: "unix",
    program: redisServer,
    programName: "redis-server",
    baseline: "Redis GET over a unix socket, with Bun's client",
    open: openRedis,
  },
  {
    name: "nats",
    transport: "tcp",
    program: natsServer,
    programName: "nats-server",
    baseline: "NATS KV get over loopback tcp, a bucket in memory, with @nats-io/kv",
    open: openNats,
  },
  {
    name: "etcd",
    transport: "tcp",
    program: etcdServer,
    programName: "etcd",
    baseline: "etcd range over loopback tcp, serializable, with fetch on its JSON interface",
    open: openEtcd,
  },
];

/** The versions of the installed servers, by the names of their programs. */
export function storeVersions(): Record<string, string> {
  const installed = storeKinds.flatMap(({ program, programName }) =>
    program === undefined ? [] : [{ program, programName }],
  );
  return Object.fromEntries(
    installed.map(({ program, programName }) => {
      const output = Bun.spawnSync([program, "--version"]).stdout.toString();
      return [programName, /\d+(\.\d+)+/.exec(output)?.[0] ?? "unknown"];
    }),
  );
}
