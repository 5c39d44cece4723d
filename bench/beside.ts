/** A lookup beside a get of the stores that are used for the same, each where its server is on the machine. */
import type { Transport } from "../src/index.ts";
import { contestWithEcho, stackedContest } from "./client.ts";
import { etcdServer, openEtcd } from "./etcd.ts";
import { freshQuery, manyNames } from "./lookup.ts";
import { natsServer, openNats } from "./nats.ts";
import { openRedis, redisServer } from "./redis.ts";
import type { RaceRow } from "./row.ts";
import type { Store } from "./store.ts";

interface StoreKind {
  readonly name: string;
  /** How the store is reached; the lookup goes the same way. */
  readonly transport: Transport;
  /** The server's program, where there is one. */
  readonly program: string | undefined;
  readonly programName: string;
  readonly baseline: string;
  readonly open: (program: string, folder: string) => Promise<Store>;
}

const kinds: readonly StoreKind[] = [
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

function besideRow({ name, transport, program, programName, baseline, open }: StoreKind): RaceRow {
  return {
    kind: "race",
    id: `beside.${name}`,
    transport,
    what: `lookup.registrar.${transport}, beside a store`,
    baseline,
    skip: () => (program === undefined ? `no ${programName} on this machine` : undefined),
    server: { names: manyNames },
    open: (scene) =>
      stackedContest(async (stack) => {
        const store = stack.use(await open(program ?? "", scene.folder));
        const { subject, baseline: echo } = stack.use(
          await contestWithEcho(scene, async () => ({ run: freshQuery() }), { maxCachedNames: manyNames }),
        );
        return { subject, baseline: { run: store.get }, others: { [`echo.${transport}`]: echo } };
      }),
  };
}

export const besideRows: readonly RaceRow[] = kinds.map(besideRow);

/** Of the servers that are here, what each says its version is. */
export function storeVersions(): Record<string, string> {
  const here = kinds.flatMap(({ program, programName }) =>
    program === undefined ? [] : [{ program, programName }],
  );
  return Object.fromEntries(
    here.map(({ program, programName }) => {
      const said = Bun.spawnSync([program, "--version"]).stdout.toString();
      return [programName, /\d+(\.\d+)+/.exec(said)?.[0] ?? "unknown"];
    }),
  );
}
